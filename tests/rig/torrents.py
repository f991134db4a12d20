#!/usr/bin/env python3
"""Runs qbittorrent-nox, transmission-daemon and nzbget against directories and servers that refuse; prints their logs.

    torrents.py [qbittorrent] [transmission] [nzbget]     as root, in a scratch directory; loopback only
A small web server is the only seed: it serves the file, and under other addresses 404, 503, nothing or a reset.
"""
import hashlib, http.server, json, os, pathlib, shutil, socket, struct, subprocess, sys, tempfile, threading, time, urllib.parse, urllib.request

os.environ["LC_ALL"] = "C.UTF-8"
W = pathlib.Path(tempfile.mkdtemp()); W.chmod(0o755)
DATA = bytes(range(256)) * 4096
AS = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Seed(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass

    def do_GET(self):
        kind = urllib.parse.unquote(self.path).strip("/").split("/")[0]
        if kind.isdigit():
            return self.send_error(int(kind))
        if kind == "stall":
            return time.sleep(40)
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self.connection.close()
        if kind == "torrent":
            body = torrent("viaurl.bin")
        elif kind == "html":
            body = b"<html>502 Bad Gateway</html>"
        elif kind == "fail":
            body = b"d14:failure reason24:Torrent not registered!!e"
        else:
            body = DATA if kind != "corrupt" else DATA[::-1]
        first, last = 0, len(body) - 1
        if spec := self.headers.get("Range"):
            first, last = (int(x) for x in spec.removeprefix("bytes=").split("-"))
            self.send_response(206); self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(last - first + 1)); self.end_headers(); self.wfile.write(body[first:last + 1])


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seed)
threading.Thread(target=server.serve_forever, daemon=True).start()
BASE = f"http://127.0.0.1:{server.server_address[1]}"


def bencode(x):
    if isinstance(x, int): return b"i%de" % x
    if isinstance(x, str): x = x.encode()
    if isinstance(x, bytes): return b"%d:%s" % (len(x), x)
    if isinstance(x, list): return b"l" + b"".join(map(bencode, x)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(x.items())) + b"e"


def torrent(name, seed="ok", announce="announce"):
    piece = 65536
    info = {"name": name, "length": len(DATA), "piece length": piece, "pieces": b"".join(hashlib.sha1(DATA[i:i + piece]).digest() for i in range(0, len(DATA), piece))}
    return bencode({"announce": f"{BASE}/{announce}/announce", "url-list": [f"{BASE}/{seed}/{name}"], "info": info})


def scene():
    for name in ("tiny", "ro", "locked", "open"):
        (W / name).mkdir(); shutil.chown(W / name, "nobody", "nogroup")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,uid=65534", "tmpfs", W / "tiny"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", W / "ro"], check=True)
    shutil.chown(W / "locked", "root", "root"); (W / "locked").chmod(0o755)
    (W / "cfg").mkdir(); shutil.chown(W / "cfg", "nobody", "nogroup")


def run(argv, seconds, steps=lambda: None):
    log = open(W / "out.log", "ab")
    child = subprocess.Popen(AS + argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | {"HOME": str(W / "cfg")}, cwd=W / "cfg")
    try:
        time.sleep(3); steps(); time.sleep(seconds)
    finally:
        child.terminate(); child.wait(15)
    print((W / "out.log").read_text(errors="replace")); (W / "out.log").unlink()


JOBS = [("full.bin", "tiny", "ok"), ("ro.bin", "ro", "ok"), ("denied.bin", "locked", "ok"), ("good.bin", "open", "ok"), ("gone.bin", "open", "404"), ("down.bin", "open", "503"), ("corrupt.bin", "open", "corrupt"), ("No space left on device.mp4", "open", "ok"), ("reset.bin", "open", "reset")]


def qbittorrent():
    conf = W / "cfg/qBittorrent/config"; conf.mkdir(parents=True)
    (conf / "qBittorrent.conf").write_text("[LegalNotice]\nAccepted=true\n[Preferences]\nWebUI\\Port=7761\nWebUI\\LocalHostAuth=false\nWebUI\\Address=127.0.0.1\n[BitTorrent]\nSession\\SSRFMitigation=false\nSession\\Port=7762\nSession\\IDNSupportEnabled=true\n")
    subprocess.run(["chown", "-R", "nobody:nogroup", W / "cfg"])

    def post(path, **fields):
        data, boundary = b"", "xxBOUNDARYxx"
        for key, value in fields.items():
            extra = '; filename="a.torrent"' if isinstance(value, bytes) else ""
            data += f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"{extra}\r\n\r\n'.encode() + (value if isinstance(value, bytes) else str(value).encode()) + b"\r\n"
        request = urllib.request.Request(f"http://127.0.0.1:7761/api/v2/{path}", data + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"})
        try: return urllib.request.urlopen(request, timeout=10).read()
        except Exception as error: print("##", path, error)

    def steps():
        for name, directory, seed in JOBS:
            post("torrents/add", torrents=torrent(name, seed), savepath=W / directory)
        post("torrents/add", torrents=b"<html>502</html>"); post("torrents/add", torrents=torrent("cut.bin")[:400])
        post("torrents/add", urls="\n".join(f"{BASE}/{k}/x.torrent" for k in ("404", "403", "503", "html", "reset", "torrent")) + "\nhttp://127.0.0.1:1/x.torrent\nhttp://no-such.example.invalid/x.torrent\nmagnet:?xt=urn:btih:zz")
        for feed in (f"{BASE}/404/rss", f"{BASE}/503/rss", f"{BASE}/html/rss", "http://127.0.0.1:1/rss", "http://no-such.example.invalid/rss"):
            post("rss/addFeed", url=feed)
        post("auth/login", username="admin", password="wrong"); time.sleep(6)
        hashes = json.load(urllib.request.urlopen("http://127.0.0.1:7761/api/v2/torrents/info"))
        by = {t["name"]: t["hash"] for t in hashes}
        post("torrents/setLocation", hashes=by.get("good.bin", ""), location=W / "tiny"); time.sleep(2)
        post("torrents/setLocation", hashes=by.get("No space left on device.mp4", ""), location=W / "locked/sub"); time.sleep(2)
        post("torrents/delete", hashes=by.get("gone.bin", ""), deleteFiles="true")

    argv = ["qbittorrent-nox", f"--profile={W}/cfg", "--webui-port=7761"]
    run(argv, 6, steps)
    for name in ("good.bin", "No space left on device.mp4"):
        (W / "open" / name).unlink(missing_ok=True)
    busy = socket.create_server(("127.0.0.1", 7761))
    run(argv, 3); busy.close()
    for file in (W / "cfg").rglob("*.log*"): print("##", file.name); print(file.read_text(errors="replace"))


def transmission():
    def rpc(method, **arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            request = urllib.request.Request("http://127.0.0.1:7763/transmission/rpc", body, {"X-Transmission-Session-Id": rpc.session})
            try: return json.load(urllib.request.urlopen(request, timeout=10))
            except urllib.error.HTTPError as error: rpc.session = error.headers.get("X-Transmission-Session-Id", "")
            except OSError as error: return print("##", method, error)
    rpc.session = ""

    def steps():
        import base64
        for name, directory, seed in JOBS:
            print("##", name, rpc("torrent-add", metainfo=base64.b64encode(torrent(name, seed, "fail" if "gone" in name else "503" if "down" in name else "announce")).decode(), **{"download-dir": str(W / directory)}))
        print("##", rpc("torrent-add", metainfo=base64.b64encode(b"<html>").decode())); print("##", rpc("torrent-add", filename=f"{BASE}/404/x.torrent"))
        time.sleep(8); ids = {t["name"]: t for t in rpc("torrent-get", fields=["id", "name", "error", "errorString"])["arguments"]["torrents"]}
        print("##", json.dumps(ids))
        (W / "open/good.bin").unlink(missing_ok=True); rpc("torrent-verify", ids=[ids["good.bin"]["id"]]); time.sleep(2); rpc("torrent-start", ids=[ids["good.bin"]["id"]])
        rpc("torrent-set-location", ids=[ids["No space left on device.mp4"]["id"]], location=str(W / "ro/x"), move=True); time.sleep(3)
        print("##", json.dumps(rpc("torrent-get", fields=["id", "name", "error", "errorString"])))

    argv = ["transmission-daemon", "-f", "--log-debug" if "-v" in sys.argv else "--log-info", "-g", f"{W}/cfg/t", "-p", "7763", "-P", "7764", "-w", f"{W}/open", "-C", "-M", "-O", "-a", "127.0.0.1"]
    run(argv, 4, steps)
    busy = socket.create_server(("0.0.0.0", 7763)); run(argv, 2); busy.close()
    run(argv[:4] + [f"{W}/locked/t"] + argv[5:], 2); run(argv[:4] + [f"{W}/tiny/t"] + argv[5:], 3); run(argv + ["-c", f"{W}/nowhere"], 2)
    for url in ("404/x.torrent", "html/x.torrent"):
        subprocess.run(["timeout", "4", "transmission-cli", "-g", W / "cfg/c", "-w", W / "open", f"{BASE}/{url}"], stdin=subprocess.DEVNULL)
    for args in (["transmission-show", "/srv/bot/gone.torrent"], ["transmission-remote", "127.0.0.1:1", "-l"], ["transmission-create", "-o", str(W / "ro/x.torrent"), str(W / "open")], ["transmission-create", str(W / "nowhere")]):
        print("##", *args, flush=True); subprocess.run(args)


def nzbget():
    (W / "nzb").mkdir(); shutil.chown(W / "nzb", "nobody", "nogroup")
    def server_(kind):
        s = socket.create_server(("127.0.0.1", 0))
        def loop():
            while True:
                c, _ = s.accept(); f = c.makefile("rwb")
                if kind == "busy": f.write(b"502 Too many connections\r\n"); f.flush(); c.close(); continue
                if kind == "close": c.close(); continue
                f.write(b"200 ready\r\n"); f.flush()
                def talk(f=f, c=c):
                    try:
                        for line in f:
                            word = line.split()[0].upper() if line.strip() else b""
                            answer = {b"AUTHINFO": b"381 more" if b"USER" in line.upper() else (b"481 Authentication failed" if kind == "auth" else b"281 ok"), b"GROUP": b"211 1 1 1 g", b"QUIT": b"205 bye"}.get(word, b"430 No such article")
                            if kind == "half" and word in (b"BODY", b"ARTICLE"): f.write(b"222 0 body\r\n=ybegin line=128 size=9 name=a\r\nabc"); f.flush(); c.close(); return
                            f.write(answer + b"\r\n"); f.flush()
                    except OSError: pass
                threading.Thread(target=talk, daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()
        return s.getsockname()[1]
    seg = "".join(f'<segment bytes="700" number="{i}">part{i}@x</segment>' for i in (1, 2))
    nzb = f'<?xml version="1.0"?><nzb xmlns="http://www.newzbin.com/DTD/2003/nzb"><file poster="a" date="1700000000" subject="&quot;No space left on device.rar&quot; yEnc (1/2)"><groups><group>a.b.c</group></groups><segments>{seg}</segments></file></nzb>'
    for kind, main, extra in [(k, W / "cfg/n", []) for k in ("none", "auth", "busy", "close", "half", "ok")] + [("ok", W / "tiny/n", ["DiskSpace=250"]), ("ok", W / "locked/n", []), ("ok", W / "ro/n", [])]:
        port = 1 if kind == "none" else server_(kind)
        options = [f"MainDir={main}", f"NzbDir={W}/nzb", "ControlPort=7765", "OutputMode=log", "WriteLog=none", "Server1.Host=127.0.0.1", f"Server1.Port={port}", "Server1.Username=bot", "Server1.Password=x", "Server1.Connections=2", "Server1.Encryption=no", "ArticleRetries=1", "ArticleInterval=1", "UrlRetries=1", "UrlInterval=1", "NzbDirFileAge=0", "NzbDirInterval=1", "DetailTarget=both", "ArticleTimeout=4", "UrlTimeout=4"] + extra
        argv = ["nzbget", "-n", "-s"] + [x for o in options for x in ("-o", o)]
        def steps():
            (W / "nzb/job.nzb").write_text(nzb); shutil.chown(W / "nzb/job.nzb", "nobody", "nogroup")
            if kind == "ok" and not extra and "cfg" in str(main):
                (W / "nzb/bad.nzb").write_text("<html>502</html>"); shutil.chown(W / "nzb/bad.nzb", "nobody", "nogroup")
                for url in [f"{BASE}/404/a.nzb", f"{BASE}/503/a.nzb", f"{BASE}/reset/a.nzb", f"{BASE}/html/a.nzb", f"{BASE}/403/a.nzb", "http://127.0.0.1:1/a.nzb", "http://no-such.example.invalid/a.nzb", f"{BASE}/stall/a.nzb"]:
                    body = json.dumps({"method": "append", "params": ["", url, "", 0, False, False, "", 0, "SCORE", []]}).encode()
                    request = urllib.request.Request("http://127.0.0.1:7765/jsonrpc", body, {"Authorization": "Basic bnpiZ2V0OnRlZ2J6bjY3ODk="})
                    try: urllib.request.urlopen(request, timeout=5)
                    except OSError as error: print("##", error)
                for user in ("nzbget:wrong",):
                    import base64
                    try: urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:7765/jsonrpc/version", headers={"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}))
                    except OSError: pass
                time.sleep(8)
        print("##", kind, main); run(argv, 8, steps)


scene()
try:
    for name in [a for a in sys.argv[1:] if a[0] != "-"] or ["qbittorrent", "transmission", "nzbget"]:
        {"qbittorrent": qbittorrent, "transmission": transmission, "nzbget": nzbget}[name]()
finally:
    for name in ("tiny", "ro"): subprocess.run(["umount", "-l", W / name])
    shutil.rmtree(W, ignore_errors=True)
