#!/usr/bin/env python3
"""TDLib (what the local Bot API server is made of) with a data directory that fails; prints what it logs and answers.

    tdlib.py LIBTDJSON DIR SECONDS [VERBOSITY]     it runs only where there is no route (`unshare -n`)

DIR may be full, read-only, not writable, below a file, hold a damaged td.binlog, or be in use by a second run. The
library is in the npm package prebuilt-tdlib."""
import ctypes, json, sys, time

if len(open("/proc/net/route").readlines()) > 1:
    sys.exit("there is a route to the outside: run it under `unshare -n`")
library, directory, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
lib = ctypes.CDLL(library)
lib.td_send.argtypes = [ctypes.c_int, ctypes.c_char_p]
lib.td_receive.argtypes, lib.td_receive.restype = [ctypes.c_double], ctypes.c_char_p
lib.td_execute.restype = ctypes.c_char_p


def request(kind, **fields):
    return json.dumps({"@type": kind, **fields}).encode()


lib.td_execute(request("setLogVerbosityLevel", new_verbosity_level=int((sys.argv + ["2"])[4])))
client = lib.td_create_client_id()
lib.td_send(client, request("setTdlibParameters", database_directory=directory, files_directory=directory, api_id=1, api_hash="a" * 32, system_language_code="en", device_model="rig", application_version="1"))
lib.td_send(client, request("checkAuthenticationBotToken", token="123456:TEST"))
end = time.time() + seconds
while time.time() < end:
    answer = lib.td_receive(0.5)
    if answer and b'"@type":"error"' in answer:
        print(answer.decode(), flush=True)
