#!/bin/bash
# Runs SABnzbd against news servers, feeds and folders that refuse, and prints its log.
#   sabnzbd.sh PYTHON SABNZBD.PY      in a scratch directory; loopback only. par2 and unrar should be installed.
W=$(mktemp -d); trap 'kill $pids 2>/dev/null; umount "$W/tiny" 2>/dev/null; rm -rf "$W"' EXIT; pids=
mkdir "$W/tiny" "$W/watch"; mount -t tmpfs -o size=300k tmpfs "$W/tiny"
cat > "$W/news.py" <<'P'
import socket, sys, threading
kind = sys.argv[1]; s = socket.create_server(("127.0.0.1", int(sys.argv[2])))
def talk(c):
    f = c.makefile("rwb")
    def say(t): f.write(t + b"\r\n"); f.flush()
    try:
        if kind == "many": say(b"502 Too many connections from your account"); return c.close()
        if kind == "close": return c.close()
        say(b"200 ready")
        for line in f:
            w = line.upper()
            if w.startswith(b"AUTHINFO USER"): say(b"381 password")
            elif w.startswith(b"AUTHINFO"): say(b"481 Authentication failed" if kind == "auth" else b"281 ok")
            elif kind == "bad" and w.startswith((b"BODY", b"ARTICLE")): f.write(b"222 body\r\n=ybegin part=1 line=128 size=900 name=a.bin\r\n=ypart begin=1 end=900\r\n" + b"k" * 100 + b"\r\n=yend size=900 pcrc32=00000000\r\n.\r\n"); f.flush()
            elif w.startswith(b"QUIT"): say(b"205 bye"); return
            else: say(b"430 No such article")
    except OSError: pass
while True:
    c, _ = s.accept(); threading.Thread(target=talk, args=(c,), daemon=True).start()
P
n=0; for kind in ok auth many close bad; do n=$((n+1)); "$1" "$W/news.py" $kind $((7770+n)) & pids="$pids $!"; done
"$1" -m http.server 7779 --bind 127.0.0.1 --directory "$W/watch" >/dev/null 2>&1 & pids="$pids $!"
seg=$(for i in 1 2 3; do echo "<segment bytes=\"700\" number=\"$i\">part$i@x</segment>"; done)
echo "<?xml version=\"1.0\"?><nzb xmlns=\"http://www.newzbin.com/DTD/2003/nzb\"><file poster=\"a\" date=\"1700000000\" subject=\"&quot;No space left on device.rar&quot; yEnc (1/3)\"><groups><group>a.b.c</group></groups><segments>$seg</segments></file></nzb>" > "$W/job.nzb"
for scene in "7771:$W/inc" "7772:$W/inc" "7773:$W/inc" "7774:$W/inc" "7775:$W/inc" "1:$W/inc" "7771:$W/tiny"; do
  port=${scene%%:*}; dir=${scene#*:}
  printf '__version__ = 19\n[misc]\nport = 7768\nhost = 127.0.0.1\napi_key = 0123456789abcdef0123456789abcdef\ndownload_dir = %s\ncomplete_dir = %s/done\ndirscan_dir = %s/watch\ndirscan_speed = 1\nlanguage = en\ncheck_new_rel = 0\nenable_https_verification = 0\ndownload_free = 100K\n[servers]\n[[one]]\nname = one\nhost = 127.0.0.1\nport = %s\nusername = bot\npassword = x\nconnections = 2\nssl = 0\nenable = 1\ntimeout = 5\n' "$dir" "$W" "$W" "$port" > "$W/sab.ini"
  cp "$W/job.nzb" "$W/watch/job.nzb"; echo '<html>502' > "$W/watch/bad.nzb"
  echo "## $scene"; "$1" "$2" -f "$W/sab.ini" -b0 -l2 -w -c > "$W/out" 2>&1 & p=$!; sleep 8
  q() { curl -s "http://127.0.0.1:7768/api?apikey=0123456789abcdef0123456789abcdef&output=json&$1" >/dev/null; }
  if [ "$port$dir" = "7771$W/inc" ]; then for u in 404/a.nzb gone.nzb; do q "mode=addurl&name=http%3A%2F%2F127.0.0.1%3A7779%2F$u"; done; q "mode=addurl&name=http%3A%2F%2F127.0.0.1%3A1%2Fa.nzb"; q "mode=addurl&name=http%3A%2F%2Fno-such.example.invalid%2Fa.nzb"; curl -s "http://127.0.0.1:7768/api?apikey=wrong&mode=queue&output=json" >/dev/null; sleep 6; fi
  if [ "$port" = 7772 ]; then timeout 6 "$1" "$2" -f "$W/sab.ini" -b0 -l1 -c 2>&1 | tail -5; fi
  sleep 5; kill $p; wait $p 2>/dev/null; cat "$W/out"
done
