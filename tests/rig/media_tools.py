#!/usr/bin/env python3
"""Runs video and gallery downloaders against a server that misbehaves; prints what they say. Linux, as root.

    python3 tests/rig/media_tools.py DIRECTORY [TOOL …]     tools: yt-dlp youtube-dl gallery-dl streamlink you-get instaloader ffmpeg

The tools are looked for beside the Python that runs this, then in $PATH. DIRECTORY is emptied; a small tmpfs is mounted in it.
"""
import http.server, os, shutil, subprocess, sys, threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(sys.argv[1])
WANTED = sys.argv[2:] or ["yt-dlp", "youtube-dl", "gallery-dl", "streamlink", "you-get", "instaloader", "ffmpeg"]
KINDS = ["status/401", "status/403", "status/404", "status/410", "status/413", "status/429", "status/500", "status/503", "reset", "resetmid", "empty", "short", "stall", "stallmid", "badchunk"]

shutil.rmtree(ROOT, ignore_errors=True)
for name in ("out", "full", "ro"):
    os.makedirs(f"{ROOT}/{name}")
os.chdir(f"{ROOT}/out")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", f"{ROOT}/full"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,ro", "tmpfs", f"{ROOT}/ro"], check=True)
server = subprocess.Popen([sys.executable, f"{HERE}/server.py", "8"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
BASE = f"http://127.0.0.1:{server.stdout.readline().strip()}"


class Lists(http.server.BaseHTTPRequestHandler):
    """/KIND.m3u8: a playlist whose second piece behaves as KIND says (`-` for `/`)."""

    def do_GET(self):
        kind = self.path[1:].removesuffix(".m3u8").replace("-", "/")
        piece = f"#EXTINF:2,\n{BASE}/{{}}/piece.ts\n"
        text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n" + piece.format("ok") + piece.format(kind) + "#EXT-X-ENDLIST\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(text.encode())

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


lists = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lists)
threading.Thread(target=lists.serve_forever, daemon=True).start()
LISTS = f"http://127.0.0.1:{lists.server_address[1]}"


def run(*command, cwd=None, env=None):
    beside = os.path.join(os.path.dirname(sys.executable), command[0])
    words = [beside if os.path.exists(beside) else command[0], *command[1:]]
    print("$", " ".join(word for word in command if "\n" not in word), flush=True)
    try:
        subprocess.run(words, cwd=cwd, env={**os.environ, **(env or {})}, stdout=sys.stdout, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60)
    except subprocess.TimeoutExpired:
        print("$ too slow", flush=True)


def nobody(*command):
    run("setpriv", "--reuid=65534", "--clear-groups", os.path.join(os.path.dirname(sys.executable), command[0]), *command[1:])


def youtube(tool):
    new = tool == "yt-dlp"
    slow = ["--socket-timeout", "2", "--retries", "1", "--fragment-retries", "1", "--newline", "--no-mtime", "--no-cache-dir"]
    slow += ["--js-runtimes", "node", "--no-update"] if new else []
    for kind in [*KINDS, "ok"]:
        run(tool, *slow, "-o", kind.replace("/", "-") + ".mp4", f"{BASE}/{kind}/a.mp4")
    for kind in ("status/404", "status/503", "status/403", "reset", "short", "stall"):
        run(tool, *slow, "--hls-prefer-native", "-o", kind.replace("/", "-") + ".ts", f"{LISTS}/{kind.replace('/', '-')}.m3u8")
    run(tool, *slow, "--abort-on-unavailable-fragment", "--hls-prefer-native", "-o", "abort.ts", f"{LISTS}/status-404.m3u8")
    for place in ("full", "ro", "out/none.txt/x"):
        open(f"{ROOT}/out/none.txt", "w").close()
        run(tool, *slow, "-o", f"{ROOT}/{place}/b.mp4", f"{BASE}/ok/b.mp4")
        run(tool, *slow, "--write-info-json", "--write-description", "-o", f"{ROOT}/{place}/c.mp4", f"{BASE}/ok/c.mp4")
    nobody(tool, *slow, "-o", f"{ROOT}/out/d.mp4", f"{BASE}/ok/d.mp4")
    nobody(tool, *slow, "-o", f"{ROOT}/out/sub/d.mp4", f"{BASE}/ok/d.mp4")
    run(tool, *slow, "--max-filesize", "10", "-o", "e.mp4", f"{BASE}/ok/e.mp4")
    run(tool, *slow, "-x", "--audio-format", "mp3", "-o", "f.%(ext)s", f"{BASE}/ok/f.mp4")
    run(tool, *slow, "--external-downloader", "curl", "-o", "g.mp4", f"{BASE}/short/g.mp4")
    run(tool, *slow, "--external-downloader", "wget", "-o", "g2.mp4", f"{BASE}/status/503/g.mp4")
    run(tool, *slow, "-o", "Permission denied (ERROR 503).mp4", f"{BASE}/ok/h.mp4")
    run(tool, *slow, "-f", "137", f"{BASE}/ok/i.mp4")
    run(tool, *slow, f"{BASE}/ok/nothing")
    run(tool, *slow, f"http://127.0.0.1:9/a.mp4")
    run(tool, *slow, "--cookies", f"{ROOT}/none/c.txt", f"{BASE}/ok/j.mp4")
    if new:
        run(tool, *slow, "--cookies-from-browser", "firefox", f"{BASE}/ok/k.mp4")


def gallery():
    slow = ["-o", "timeout=2", "-o", "retries=1", "-o", "downloader.timeout=2", "-o", "downloader.retries=1", "-o", "sleep-429=1"]
    for kind in [*KINDS, "ok"]:
        run("gallery-dl", *slow, "-D", kind.replace("/", "-"), f"{BASE}/{kind}/a.jpg")
    for kind in ("status/401", "status/404", "status/429", "status/503", "reset", "stall", "empty"):
        run("gallery-dl", *slow, f"recursive:{BASE}/{kind}/page")
    for place in ("full", "ro", "none/x", "out/none.txt"):
        open(f"{ROOT}/out/none.txt", "w").close()
        run("gallery-dl", *slow, "-D", f"{ROOT}/{place}", f"{BASE}/ok/b.jpg")
    nobody("gallery-dl", *slow, "-D", f"{ROOT}/out", f"{BASE}/ok/c.jpg")
    run("gallery-dl", *slow, "--filesize-max", "10", f"{BASE}/ok/d.jpg")
    run("gallery-dl", *slow, "--download-archive", f"{ROOT}/ro/a.db", f"{BASE}/ok/e.jpg")
    run("gallery-dl", *slow, "--cookies", f"{ROOT}/none/c.txt", f"{BASE}/ok/f.jpg")
    run("gallery-dl", *slow, f"{BASE}/ok/nothing")
    run("gallery-dl", *slow, f"http://127.0.0.1:9/a.jpg")
    run("gallery-dl", *slow, "-D", "503 timeout", f"{BASE}/ok/No space left on device.jpg")


def streamlink():
    slow = ["--stream-segment-attempts", "1", "--stream-segment-timeout", "2", "--stream-timeout", "4", "--http-timeout", "2", "--retry-open", "1", "--no-config", "-f"]
    for kind in [*KINDS, "ok"]:
        run("streamlink", *slow, "-o", "a.ts", f"hls://{BASE}/{kind}/a.m3u8", "best")
        run("streamlink", *slow, "-o", "a.ts", f"hls://{LISTS}/{kind.replace('/', '-')}.m3u8", "best")
        run("streamlink", *slow, "-o", "a.ts", f"httpstream://{BASE}/{kind}/a.mp4", "best")
    for place in ("full/b.ts", "ro/b.ts", "out/none.txt/b.ts"):
        open(f"{ROOT}/out/none.txt", "w").close()
        run("streamlink", *slow, "-o", f"{ROOT}/{place}", f"hls://{LISTS}/ok.m3u8", "best")
    nobody("streamlink", *slow, "-o", f"{ROOT}/out/c.ts", f"hls://{LISTS}/ok.m3u8", "best")
    run("streamlink", *slow, "--logformat", "[{asctime}][{name}][{levelname}] {message}", "-o", "a.ts", f"hls://{BASE}/status/404/a.m3u8", "best")
    run("streamlink", *slow, f"{BASE}/ok/nothing", "best")
    run("streamlink", *slow, "-o", "d.ts", f"hls://{LISTS}/ok.m3u8", "720p")
    run("streamlink", *slow, "-o", "d.ts", "hls://http://127.0.0.1:9/a.m3u8", "best")


def youget():
    for kind in [*KINDS, "ok"]:
        run("you-get", "--debug", "-t", "2", "-f", "-O", "a", f"{BASE}/{kind}/a.mp4")
        run("you-get", "--debug", "-t", "2", "-f", "-O", "a", f"{BASE}/{kind}/page")
    for place in ("full", "ro"):
        run("you-get", "--debug", "-f", "-o", f"{ROOT}/{place}", f"{BASE}/ok/b.mp4")
    nobody("you-get", "--debug", "-f", "-o", f"{ROOT}/out", f"{BASE}/ok/c.mp4")
    run("you-get", "--debug", "http://127.0.0.1:9/a.mp4")


INSTALOADER = '''
import io, sys, requests, instaloader
class Answer(requests.adapters.BaseAdapter):
    def send(self, request, **_):
        if kind == "refused": return requests.adapters.HTTPAdapter().send(requests.Request("GET", "http://127.0.0.1:9/").prepare())
        if kind == "stall": raise requests.exceptions.ReadTimeout("HTTPSConnectionPool(host='www.instagram.com', port=443): Read timed out. (read timeout=300.0)")
        code, body = kind
        answer = requests.Response()
        answer.status_code, answer.reason, answer.url, answer.request = code, requests.status_codes._codes[code][0].replace("_", " ").title(), request.url, request
        answer.raw = io.BytesIO(body)
        return answer
    def close(self): pass
wait = b'{"message": "Please wait a few minutes before you try again.", "status": "fail"}'
need = b'{"message": "checkpoint_required", "status": "fail"}'
for kind in [(401, wait), (403, b""), (404, b""), (429, b""), (500, b""), (502, b"<html>"), (400, need), (400, b"{}"), (200, b"no json"), "refused", "stall"]:
    loader = instaloader.Instaloader(max_connection_attempts=2, sleep=False, rate_controller=type("R", (instaloader.RateController,), {"sleep": lambda self, s: None}))
    requests.Session.get_adapter = lambda self, url: Answer()
    for what in (lambda: instaloader.Profile.from_username(loader.context, "some.model"), lambda: instaloader.Post.from_shortcode(loader.context, "CxYz1234567"), lambda: loader.context.get_raw("https://scontent.cdninstagram.com/v/a.jpg"), lambda: loader.download_pic("a", "https://scontent.cdninstagram.com/v/a.jpg", __import__("datetime").datetime(2024, 1, 2))):
        try: what()
        except Exception as e: print(type(e).__module__ + "." + type(e).__name__ + ": " + str(e), flush=True)
'''


def instaloader():
    run("python3", "-c", INSTALOADER)
    run("instaloader", "--max-connection-attempts", "2", "some.model", env={"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"})
    run("instaloader", "--sessionfile", f"{ROOT}/ro/s", "--login", "bot", "some.model", env={"HTTPS_PROXY": "http://127.0.0.1:9"})


def ffmpeg():
    make = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=d=4:r=25:s=320x240", "-f", "lavfi", "-i", "sine=d=4", "-pix_fmt", "yuv420p"]
    subprocess.run([*make, "good.mp4"])
    subprocess.run([*make, "good.ts"])
    subprocess.run([*make, "good.mkv"])
    for name in ("good.mp4", "good.ts", "good.mkv"):
        data = open(name, "rb").read()
        open(f"cut_{name}", "wb").write(data[: len(data) * 2 // 3])
        open(f"bad_{name}", "wb").write(data[:9000] + bytes(range(256)) * 16 + data[13096:])
    open("zero.mp4", "w").close()
    open("page.mp4", "w").write("<html><body>503 Service Unavailable</body></html>")
    quiet = ["-hide_banner", "-nostdin", "-y"]
    for kind in KINDS:
        run("ffmpeg", *quiet, "-rw_timeout", "2000000", "-i", f"{BASE}/{kind}/a.mp4", "-c", "copy", "o.mp4")
    for kind in ("status/404", "status/503", "status/403", "reset", "short", "stall"):
        run("ffmpeg", *quiet, "-rw_timeout", "2000000", "-allowed_extensions", "ALL", "-i", f"{LISTS}/{kind.replace('/', '-')}.m3u8", "-c", "copy", "o.ts")
    for name in ("cut_good.mp4", "bad_good.mp4", "cut_good.ts", "bad_good.ts", "cut_good.mkv", "bad_good.mkv", "zero.mp4", "page.mp4", "none.mp4"):
        run("ffprobe", "-hide_banner", f"{ROOT}/out/{name}")
        run("ffmpeg", *quiet, "-i", f"{ROOT}/out/{name}", "-f", "null", "-")
        run("ffmpeg", *quiet, "-v", "level+info", "-i", f"{ROOT}/out/{name}", "-c", "copy", "o.mkv")
    for place in ("full/o.mkv", "full/o.mp4", "full/o.ts", "full/o_%03d.ts", "ro/o.mp4", "none/o.mp4", "none/o_%03d.ts", "out/good.mp4/o.mp4"):
        segments = ["-f", "segment", "-segment_time", "1"] if "%" in place else []
        run("ffmpeg", *quiet, "-stream_loop", "3", "-i", "good.mp4", *segments, f"{ROOT}/{place}")
        run("ffmpeg", *quiet, "-v", "level+warning", "-i", "good.mp4", "-c", "copy", *segments, f"{ROOT}/{place}")
    run("setpriv", "--reuid=65534", "--clear-groups", "ffmpeg", *quiet, "-i", "good.mp4", "-c", "copy", f"{ROOT}/out/denied.mp4")
    os.chmod("cut_good.ts", 0o600)
    run("setpriv", "--reuid=65534", "--clear-groups", "ffprobe", "-hide_banner", f"{ROOT}/out/cut_good.ts")
    run("ffmpeg", *quiet, "-i", "good.mp4", "-c", "copy", "-f", "flv", "rtmp://127.0.0.1:9/live/x")
    run("ffmpeg", *quiet, "-i", "good.mp4", "-c:v", "nope", "o.mp4")
    run("ffmpeg", *quiet, "-i", "good.mp4", "-map", "0:9", "o.mp4")
    run("ffmpeg", *quiet, "-f", "concat", "-safe", "0", "-i", "none.txt", "o.mp4")


try:
    for tool in WANTED:
        {"yt-dlp": lambda: youtube("yt-dlp"), "youtube-dl": lambda: youtube("youtube-dl"), "gallery-dl": gallery, "streamlink": streamlink, "you-get": youget, "instaloader": instaloader, "ffmpeg": ffmpeg}[tool]()
finally:
    server.kill()
    for name in ("full", "ro"):
        subprocess.run(["umount", f"{ROOT}/{name}"])
