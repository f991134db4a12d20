#!/usr/bin/env python3
"""httpx, httpcore and urllib3 log at DEBUG what the server that misbehaves does to them. Args: PORT. Loopback only."""
import logging, sys

import httpx, urllib3

base = f"http://127.0.0.1:{sys.argv[1]}"
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout)
for name in ("httpx", "httpcore", "urllib3"):
    logging.getLogger(name).setLevel(logging.DEBUG)
urls = [f"{base}/status/{code}/a.mp4" for code in (401, 404, 413, 429, 503)]
urls += [f"{base}/{kind}/a.mp4" for kind in ("short", "stall", "stallmid", "reset", "resetmid", "empty", "badchunk", "badgzip", "ok")]
urls += ["http://127.0.0.1:9/a.mp4", "http://no-such-host.invalid/a.mp4"]
for url in urls:
    for fetch in (lambda: httpx.get(url, timeout=1.5), lambda: urllib3.PoolManager(timeout=1.5, retries=1).request("GET", url)):
        try:
            fetch()
        except Exception:
            pass
