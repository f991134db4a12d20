#!/usr/bin/env bash
# Programs that log at INFO or DEBUG why something goes on later: exceptions by their whole name, error objects, requests with their
# status. Usage: tests/rig/quiet.sh FOLDER. Needs python3 with requests, httpx and aiohttp (PYTHON=…), node, java (one that runs source
# files), go and root (whose rights it gives up).
set -eu
OUT=$(realpath -m "$1"); HERE=$(dirname "$(realpath "$0")"); PYTHON=${PYTHON:-python3}
WORK=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null; umount "$WORK/full" 2>/dev/null; rm -rf "$WORK"' EXIT
mkdir -p "$OUT" "$WORK/full" "$WORK/private"; chmod 755 "$WORK"; chmod 700 "$WORK/private"; chown nobody "$WORK/private"
mount -t tmpfs -o size=64k tmpfs "$WORK/full"; chmod 777 "$WORK/full"
"$PYTHON" - "$WORK/ports" <<'P' &
# Answers with the status in the path; /hang never, /cut half, /reset not at all. Its second port takes nothing.
import socket, sys, threading, time
listener, closed = socket.create_server(("127.0.0.1", 0)), socket.socket()
closed.bind(("127.0.0.1", 0))
with open(sys.argv[1], "w") as out:
    out.write(f"{listener.getsockname()[1]} {closed.getsockname()[1]}\n")
def answer(peer):
    what = (peer.recv(4096).split() or [b"", b"/reset"])[1].decode().strip("/")
    if what == "hang":
        time.sleep(5)
    elif what == "cut":
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
    elif what == "reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    else:
        peer.sendall(f"HTTP/1.1 {what} Odd\r\nContent-Length: 0\r\n\r\n".encode())
    peer.close()
while True:
    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
P
until [ -s "$WORK/ports" ]; do sleep 0.1; done
read -r PORT CLOSED <"$WORK/ports"
URL=http://127.0.0.1:$PORT GONE=http://127.0.0.1:$CLOSED FULL=$WORK/full/a.bin PRIVATE=$WORK/private/a.mp4
export URL GONE FULL PRIVATE WORK
chmod 644 "$WORK/ports"

cat >"$WORK/quiet.py" <<'P'
import asyncio, logging, os, socket, urllib.request
import aiohttp, httpx, requests
logging.basicConfig(format="%(asctime)s - %(name)s - %(levelname)s - %(message)s", level=logging.INFO)
log, url, gone = logging.getLogger("dl"), os.environ["URL"], os.environ["GONE"]
def later(call):
    try:
        call()
    except Exception as error:
        kind = type(error)
        log.info("part 3 later: %s.%s: %s", kind.__module__, kind.__qualname__, error)
        log.info("mirror 2 is next because of %r", error)
async def get(address, seconds=1):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session:
        async with session.get(address) as answer:
            answer.raise_for_status()
            await answer.read()
for what in ["hang", "cut", "reset", "404", "429", "503"]:
    address = f"{url}/{what}"
    later(lambda: requests.get(address, timeout=1).raise_for_status())
    later(lambda: httpx.get(address, timeout=1).raise_for_status())
    later(lambda: asyncio.run(get(address)))
    later(lambda: urllib.request.urlopen(address, timeout=1).read())
for address in [gone, "http://gone.example.invalid/a"]:
    later(lambda: requests.get(address, timeout=1))
    later(lambda: httpx.get(address, timeout=1))
    later(lambda: asyncio.run(get(address)))
    later(lambda: urllib.request.urlopen(address, timeout=1))
later(lambda: open(os.environ["PRIVATE"]))
later(lambda: open("/srv/none/a.jpg"))
later(lambda: open(os.environ["FULL"], "wb", 0).write(b"x" * 70000) and open(os.environ["FULL"] + "2", "wb", 0).write(b"x" * 70000))
P
cat >"$WORK/quiet.mjs" <<'P'
import fs from 'node:fs/promises'
import net from 'node:net'
import util from 'node:util'
const { URL: url, GONE: gone, FULL, PRIVATE } = process.env
const log = (error) => {
  console.log(`${new Date().toISOString()} [debug] dl: next mirror, ${error.cause ?? error}`)
  console.log(JSON.stringify({ level: 20, time: Date.now(), pid: 1, err: error.cause ?? error, msg: 'part put back' }))
  const cause = error.cause ?? error
  console.log(JSON.stringify({ level: 'debug', message: 'part put back', meta: { ...cause, code: cause.code, detail: cause.message } }))
  console.log(`${new Date().toISOString()} [debug] dl: part put back ${util.inspect({ ...cause }, { breakLength: Infinity })}`)
}
const connect = (port, host) => new Promise((_, no) => net.connect(port, host).on('error', no))
for (const call of [
  () => fetch(gone), () => fetch(url + '/reset'), () => fetch('http://gone.example.invalid/'),
  () => fetch(url + '/hang', { signal: AbortSignal.timeout(500) }), () => fetch(url + '/cut').then((answer) => answer.text()),
  () => connect(new URL(gone).port, '127.0.0.1'), () => connect(80, 'gone.example.invalid'),
  () => fs.readFile(PRIVATE), () => fs.readFile('/srv/none/a.jpg'), () => fs.writeFile(FULL, 'x'.repeat(70000)),
  () => fs.rename(PRIVATE, '/srv/b.mp4'),
]) await call().catch(log)
P
cat >"$WORK/Quiet.java" <<'P'
import java.io.*; import java.net.*; import java.net.http.*; import java.nio.file.*; import java.time.*;
class Quiet {
    interface Call { void run() throws Exception; }
    static void later(Call call) {
        try { call.run(); } catch (Exception error) {
            System.out.println("01:04:05.118 [worker-2] DEBUG c.e.dl.Mirror - next mirror, because " + error);
            System.out.println("01:04:05.118 [worker-2] INFO c.e.dl.Part - part 7 later: " + error);
        }
    }
    static void get(String address) throws Exception {
        var connection = (HttpURLConnection) new URL(address).openConnection();
        connection.setReadTimeout(500);
        connection.getInputStream().readAllBytes();
    }
    public static void main(String[] none) throws Exception {
        String url = System.getenv("URL"), gone = System.getenv("GONE");
        for (String what : new String[] {"hang", "cut", "reset", "404", "429", "503"}) later(() -> get(url + "/" + what));
        later(() -> get(gone)); later(() -> get("http://gone.example.invalid/a"));
        var client = HttpClient.newHttpClient();
        for (String address : new String[] {url + "/hang", url + "/reset", url + "/cut", gone, "http://gone.example.invalid/a"})
            later(() -> client.send(HttpRequest.newBuilder(URI.create(address)).timeout(Duration.ofMillis(500)).build(), HttpResponse.BodyHandlers.ofString()));
        later(() -> Files.readString(Path.of(System.getenv("PRIVATE")))); later(() -> Files.readString(Path.of("/srv/none/a.jpg")));
        later(() -> Files.write(Path.of(System.getenv("FULL")), new byte[70000]));
        later(() -> new FileInputStream(System.getenv("PRIVATE"))); later(() -> new FileInputStream("/srv/none/a.jpg"));
    }
}
P
cat >"$WORK/quiet.go" <<'P'
package main

import (
	"fmt"; "io"; "net/http"; "os"; "time"
)

func main() {
	later := func(err error) {
		if err != nil {
			fmt.Printf("time=2026-03-05T01:09:40.120Z level=DEBUG msg=\"mirror changed\" from=a why=%q\n", err)
			fmt.Printf("2026-03-05T01:09:40Z DBG fragment discarded frag=17 err=%q\n", err)
			fmt.Printf("2026-03-05T01:05:20.337Z\tDEBUG\tdl/run.go:91\tpart put back\t{\"part\": 3, \"cause\": %q}\n", err)
		}
	}
	client := http.Client{Timeout: time.Second / 2}
	for _, what := range []string{"hang", "cut", "reset", "404", "429", "503", "410", "403"} {
		address := os.Getenv("URL") + "/" + what
		answer, err := client.Get(address)
		later(err)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			later(err)
			fmt.Printf("time=2026-03-05T01:27:10.000Z level=DEBUG msg=page url=https://api.example.com/v2/items status=%d took=31ms\n", answer.StatusCode)
			fmt.Printf("time=2026-03-05T01:27:11.000Z level=DEBUG msg=feed item=7 enclosure=https://old.example.org/pod/7.mp3 status=%q\n", answer.Status)
			fmt.Printf("{\"level\":\"info\",\"msg\":\"answer\",\"method\":\"GET\",\"url\":\"https://api.example.com/v2/items\",\"status\":%d}\n", answer.StatusCode)
		}
	}
	_, err := client.Get(os.Getenv("GONE")); later(err)
	_, err = client.Get("http://gone.example.invalid/a"); later(err)
	_, err = os.Open(os.Getenv("PRIVATE")); later(err)
	_, err = os.Open("/srv/none/a.jpg"); later(err)
	later(os.WriteFile(os.Getenv("FULL"), make([]byte, 70000), 0o644))
}
P
chmod 644 "$WORK"/quiet.* "$WORK/Quiet.java"
without_rights() { setpriv --bounding-set=-all --inh-caps=-all env HOME="$WORK/full" URL="$URL" GONE="$GONE" FULL="$FULL" PRIVATE="$PRIVATE" "$@" 2>&1; rm -f "$FULL"*; }
(cd "$WORK" && GOFLAGS=-mod=mod HOME="$WORK" go build -o "$WORK/quiet" quiet.go && chmod 755 "$WORK/quiet")
{ "$PYTHON" --version; without_rights "$(command -v "$PYTHON")" "$WORK/quiet.py"; } >"$OUT/python.log" || true
{ node --version; without_rights node "$WORK/quiet.mjs"; } >"$OUT/node.log" || true
{ java --version | head -1; without_rights java "$WORK/Quiet.java"; } >"$OUT/java.log" || true
{ go version; without_rights "$WORK/quiet"; } >"$OUT/go.log" || true
