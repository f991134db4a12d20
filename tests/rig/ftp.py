#!/usr/bin/env python3
"""An FTP server that misbehaves on request; prints its port. Loopback only.

    user NNN          answers the password with NNN (421, 530, 331 …)
    file NNN.bin      answers RETR and STOR with NNN (425, 426, 450, 452, 550, 552, 553 …)
    file short.bin    sends half of it, then 426; cut.bin closes everything; stall.bin says nothing more; others are fine
"""
import socket, struct, sys, threading, time

STALL = float(sys.argv[1]) if len(sys.argv) > 1 else 30
SIZE = 90000
SAYS = {
    421: "Service not available, closing control connection.", 425: "Can't open data connection.",
    426: "Connection closed; transfer aborted.", 450: "Requested file action not taken. File unavailable.",
    451: "Requested action aborted: local error in processing.", 452: "Insufficient storage space in system.",
    530: "Login incorrect.", 532: "Need account for storing files.", 550: "No such file or directory.",
    551: "Requested action aborted: page type unknown.", 552: "Exceeded storage allocation.", 553: "Could not create file.",
}


def serve(control):
    file = control.makefile("rb")
    data = None
    user = "x"

    def say(code, text=None):
        control.sendall(f"{code} {text or SAYS.get(code, 'Done.')}\r\n".encode())

    say(220, "ready")
    for raw in file:
        word, _, rest = raw.decode().strip().partition(" ")
        word = word.upper()
        name = rest.rsplit("/", 1)[-1]
        told = int(name[:3]) if name[:3].isdigit() else 0
        if word == "USER":
            user = rest
            say(331, "Password required.")
        elif word == "PASS":
            code = int(user) if user.isdigit() else 230
            say(code)
            if code == 421:
                return control.close()
        elif word == "PWD":
            say(257, '"/" is the current directory')
        elif word == "CWD":
            say(550, "Failed to change directory.") if "nodir" in rest else say(250)
        elif word in ("PASV", "EPSV"):
            data = socket.create_server(("127.0.0.1", 0))
            port = data.getsockname()[1]
            say(229, f"Entering Extended Passive Mode (|||{port}|)") if word == "EPSV" else say(227, f"Entering Passive Mode (127,0,0,1,{port >> 8},{port & 255}).")
        elif word == "SIZE":
            say(told if told >= 500 else 213, None if told >= 500 else str(SIZE))
        elif word == "MDTM":
            say(213, "20260101000000")
        elif word == "SYST":
            say(215, "UNIX Type: L8")
        elif word in ("RETR", "STOR", "LIST", "NLST", "MLSD"):
            if told:
                say(told)
                if told == 421:
                    return control.close()
                continue
            say(150, "Here it comes.")
            peer, _ = data.accept()
            if word == "STOR":
                while peer.recv(65536):
                    pass
            elif word != "RETR":
                peer.sendall("".join(f"-rw-r--r-- 1 ftp ftp {SIZE} Jan 01 00:00 {n}.bin\r\n" for n in ("ok", "421", "550", "short")).encode())
            else:
                peer.sendall(b"x" * (SIZE // 2))
                if name.startswith("stall"):
                    time.sleep(STALL)
                if name.startswith("cut"):
                    for one in (peer, control):
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        one.shutdown(socket.SHUT_RDWR)
                    return
                if name.startswith("short"):
                    peer.close()
                    say(426)
                    continue
                peer.sendall(b"x" * (SIZE // 2))
            peer.close()
            say(226, "Transfer complete.")
        elif word == "QUIT":
            say(221, "Goodbye.")
            return control.close()
        else:
            say(200 if word in ("TYPE", "NOOP", "OPTS") else 502, "OK" if word in ("TYPE", "NOOP", "OPTS") else "Command not implemented.")


def guarded(control):
    try:
        serve(control)
    except OSError:
        pass


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=guarded, args=(listener.accept()[0],), daemon=True).start()
