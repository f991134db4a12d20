#!/usr/bin/env python3
"""Downloads from the server that misbehaves with httpx, requests, urllib3, aiohttp or urllib; logs as bots do. Args: LIBRARY PORT DIR"""
import asyncio, logging, os, sys
import shutil

library, port, target = sys.argv[1], sys.argv[2], sys.argv[3]
handler = logging.StreamHandler(sys.stdout)
handler.terminator = "\n\0"
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[handler])
logging.getLogger("urllib3").setLevel(logging.WARNING)
log = logging.getLogger("fetch")
base = f"http://127.0.0.1:{port}"
urls = [f"{base}/status/{code}/a.mp4" for code in (401, 403, 404, 408, 410, 413, 429, 500, 502, 503, 504)]
urls += [f"{base}/{kind}/a.mp4" for kind in ("short", "stall", "stallmid", "reset", "resetmid", "empty", "badchunk", "badgzip", "ok")]
urls += ["http://127.0.0.1:9/a.mp4", "http://no-such-host.invalid/a.mp4", "http://198.51.100.7/a.mp4"]


def save(url, stream):
    with open(os.path.join(target, os.path.basename(url)), "wb") as out:
        for chunk in stream:
            out.write(chunk)


def with_httpx(url):
    import httpx
    with httpx.Client(timeout=1.5) as client, client.stream("GET", url) as answer:
        answer.raise_for_status()
        save(url, answer.iter_bytes())


def with_requests(url):
    import requests
    with requests.get(url, stream=True, timeout=1.5) as answer:
        answer.raise_for_status()
        save(url, answer.iter_content(65536))


def with_urllib3(url):
    import urllib3
    answer = urllib3.PoolManager(timeout=1.5, retries=urllib3.Retry(1, status_forcelist=[503])).request("GET", url, preload_content=False)
    if answer.status >= 400:
        raise RuntimeError(f"HTTP {answer.status} {answer.reason} for {url}")
    save(url, answer.stream(65536))


def with_urllib(url):
    import urllib.request
    with urllib.request.urlopen(url, timeout=1.5) as answer:
        save(url, iter(lambda: answer.read(65536), b""))


def with_aiohttp(url):
    import aiohttp

    async def fetch():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=1.5, sock_connect=1.5)) as session:
            async with session.get(url, raise_for_status=True) as answer:
                save(url, [chunk async for chunk in answer.content.iter_chunked(65536)])
    asyncio.run(fetch())


fetch = globals()[f"with_{library}"]
for url in urls:
    try:
        fetch(url)
        log.info("saved %s, 90000 bytes, 0 errors", os.path.join(target, "a.mp4"))
    except Exception as error:
        log.warning("attempt 1/2 for a.mp4 failed: %s; retrying", error)
        log.exception("download of %s failed", url)
