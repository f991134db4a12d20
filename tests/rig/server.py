#!/usr/bin/env python3
"""A web server and Bot API server that misbehaves on request; prints its port. Loopback only.

    /status/CODE/NAME  answers CODE       /page/CODE/NAME  the same with nginx's page of HTML
    /short /stall /stallmid /reset /resetmid /empty /badchunk /badgzip /ok   what the names say
    /bot<token>/getFile                   behaves as the file_id says (see `BOT`); /file/bot<token>/KIND/… as KIND says
"""
import json, socket, struct, sys, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL = float(sys.argv[1]) if len(sys.argv) > 1 else 30
BOT = {  # file_id → code, description, parameters
    "big": (400, "Bad Request: file is too big", None),
    "wrong": (400, "Bad Request: wrong file_id or the file is temporarily unavailable", None),
    "invalid": (400, "Bad Request: invalid file_id", None),
    "nochat": (400, "Bad Request: chat not found", None),
    "flood": (429, "Too Many Requests: retry after 7", {"retry_after": 7}),
    "blocked": (403, "Forbidden: bot was blocked by the user", None),
    "kicked": (403, "Forbidden: bot was kicked from the supergroup chat", None),
    "token": (401, "Unauthorized", None),
    "gone": (404, "Not Found", None),
    "conflict": (409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running", None),
    "hook": (409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first", None),
    "restart": (500, "Internal Server Error: restart", None),
    "entity": (413, "Request Entity Too Large", None),
}
PAGE = "<html>\r\n<head><title>{0} {1}</title></head>\r\n<body>\r\n<center><h1>{0} {1}</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length).decode("utf-8", "replace")
        kind = self.headers.get("Content-Type", "")
        return json.loads(raw) if kind.startswith("application/json") else dict(urllib.parse.parse_qsl(raw))

    def answer(self, code, data, kind="application/octet-stream", extra=()):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in extra:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def page(self, code):
        text = self.responses.get(code, ("Odd",))[0]
        text = {504: "Gateway Time-out", 503: "Service Unavailable"}.get(code, text)
        extra = [("Retry-After", "17")] if code == 429 else []
        self.answer(code, PAGE.format(code, text).encode(), "text/html", extra)

    def cut(self, reset):
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR) if not reset else None
        self.connection.close()

    def misbehave(self, kind):
        if kind == "stall":
            time.sleep(STALL)
        elif kind in ("reset", "empty"):
            self.cut(kind == "reset")
        elif kind in ("short", "stallmid", "resetmid"):
            self.send_response(200)
            self.send_header("Content-Length", "90000")
            self.end_headers()
            self.wfile.write(b"x" * 45000)
            self.wfile.flush()
            if kind == "stallmid":
                time.sleep(STALL)
            elif kind == "resetmid":
                time.sleep(0.2)
            self.cut(kind == "resetmid")
        elif kind == "badchunk":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\nzz\r\nrest\r\n")
            self.cut(False)
        elif kind == "badgzip":
            self.answer(200, b"\x1f\x8b\x08\xff" + b"junk" * 50, extra=[("Content-Encoding", "gzip")])
        else:
            self.answer(200, b"x" * 90000, "video/mp4")

    def do_GET(self):
        parts = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/").split("/")
        body = self.body()
        if parts[0] in ("status", "page"):
            return self.page(int(parts[1]))
        if parts[0] == "file":
            parts = parts[1:]
            kind = parts[1] if len(parts) > 1 else "ok"
            return self.page(int(kind[1:])) if kind[0] == "h" and kind[1:].isdigit() else self.misbehave(kind)
        if parts[0].startswith("bot"):
            return self.bot(parts[1], body)
        self.misbehave(parts[0])

    do_POST = do_HEAD = do_GET

    def bot(self, method, body):
        file_id = str(body.get("file_id", body.get("chat_id", "")))
        if file_id in BOT:
            code, description, parameters = BOT[file_id]
            answer = {"ok": False, "error_code": code, "description": description}
            if parameters:
                answer["parameters"] = parameters
            return self.answer(code, json.dumps(answer).encode(), "application/json")
        if file_id[:1] == "h" and file_id[1:].isdigit():
            return self.page(int(file_id[1:]))
        if file_id in ("stall", "reset", "empty", "short"):
            return self.misbehave(file_id)
        result = {"getFile": {"file_id": file_id, "file_unique_id": "u", "file_size": 90000, "file_path": f"{file_id.removeprefix('get_')}/file_7.mp4"}}
        result["getMe"] = {"id": 123456, "is_bot": True, "first_name": "Downloader", "username": "demo_download_bot"}
        result["getUpdates"] = []
        self.answer(200, json.dumps({"ok": True, "result": result.get(method, True)}).encode(), "application/json")


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
