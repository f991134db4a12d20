"""A receiver behind TLS for tests/outside.rs: `tls.py https|smtps CERT KEY` prints its port, then what it is told, one JSON a line."""

import json
import socketserver
import ssl
import sys

kind, cert, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)


def tell(what):
    print(json.dumps(what), flush=True)


class Handler(socketserver.StreamRequestHandler):
    def setup(self):
        self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.https() if kind == "https" else self.smtps()

    def https(self):
        length = 0
        while (line := self.rfile.readline().strip()):
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        tell({"body": self.rfile.read(length).decode()})
        self.say("HTTP/1.1 204 No Content\r\nconnection: close\r\n")

    def smtps(self):
        self.say("220 here")
        while (line := self.rfile.readline()):
            word = line.strip().split(b" ")[0].upper()
            if word == b"DATA":
                self.say("354 go on")
                body = []
                while (text := self.rfile.readline()).strip() != b".":
                    body.append(text.decode())
                tell({"body": "".join(body)})
            self.say("250 good" if word != b"QUIT" else "221 bye")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        tell({"refused": str(sys.exc_info()[1])})


with Server(("127.0.0.1", 0), Handler) as server:
    tell({"port": server.server_address[1]})
    server.serve_forever()
