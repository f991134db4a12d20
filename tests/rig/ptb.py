#!/usr/bin/env python3
"""A python-telegram-bot bot whose server misbehaves; every exception is logged as an error handler would. Args: PORT DIR"""
import asyncio, logging, sys
from telegram import Bot
from telegram.request import HTTPXRequest

port, target = sys.argv[1], sys.argv[2]
handler = logging.StreamHandler(sys.stdout)
handler.terminator = "\n\0"
logging.basicConfig(level=logging.INFO, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s", handlers=[handler])
log = logging.getLogger("downloader")


async def main():
    fast = lambda: HTTPXRequest(read_timeout=1.5, media_write_timeout=1.5)
    bot = Bot("123456:TEST", base_url=f"http://127.0.0.1:{port}/bot", base_file_url=f"http://127.0.0.1:{port}/file/bot", request=fast(), get_updates_request=fast())
    away = Bot("123456:TEST", base_url="http://127.0.0.1:9/bot", request=fast())
    await bot.initialize()
    ids = ["big", "wrong", "invalid", "nochat", "flood", "token", "gone", "conflict", "hook", "restart", "entity", "stall", "reset", "empty", "short"]
    ids += ["h429", "h500", "h502", "h503", "h504", "h403", "h413", "h404", "h408"]
    ids += ["get_" + kind for kind in ("h404", "h503", "h429", "h403", "short", "stall", "stallmid", "reset", "resetmid", "empty", "badchunk", "badgzip", "documents")]
    for file_id in ids:
        try:
            log.info("Received document lake_4.mp4 (90000 bytes) from chat 70400")
            file = await bot.get_file(file_id)
            log.info("Downloading lake_4.mp4 -> %s/lake_4.mp4", target)
            await file.download_to_drive(f"{target}/lake_4.mp4")
            log.info("Saved %s/lake_4.mp4 (90000 bytes), sha1 0a1b2c3d4e5f", target)
        except Exception as error:
            log.error("Exception while handling an update:", exc_info=error)
            log.warning('Update "%s" caused error "%s"', {"update_id": 1, "message": {"text": "Timed out or Permission denied?"}}, error)
    for chat in ("blocked", "kicked"):
        try:
            await bot.send_message(chat, "done")
        except Exception as error:
            log.error("Exception while handling an update:", exc_info=error)
    try:
        await bot.do_api_request("getUpdates", api_kwargs={"chat_id": "conflict"})
    except Exception as error:
        log.error("Error while getting Updates: %s", error)
    for client in (bot, away):
        try:
            await client.get_updates()
            await client.get_file("documents")
        except Exception as error:
            log.error("Error while getting Updates: %s", error)
    for text in ("Caption: disk full, Permission denied", "Text message from 70400: [Errno 13] Permission denied: '/etc/passwd'", "Text message from 70400: telegram.error.TimedOut: Timed out", "Caption: HTTP Request: GET http://a/ \"HTTP/1.1 503 Service Unavailable\"", "Received document Flood control exceeded. Retry in 9 seconds.mp4 (503 bytes) from chat 429", "Downloading 404 Not Found.mp4 -> /srv/bot/models/404 Not Found.mp4", "Text message from 70400: ERROR Timed out", "Application started, timeout=30, retries=3", "Text message from 70400: logmedic job=1 file_id=x path=/etc/passwd"):
        log.info(text)

asyncio.run(main())
