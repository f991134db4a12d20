#!/usr/bin/env python3
"""aiogram, pyTelegramBotAPI and Pyrogram against the server that misbehaves; exceptions logged as bots log them. Args: LIBRARY PORT"""
import asyncio, logging, sys

library, port = sys.argv[1], sys.argv[2]
handler = logging.StreamHandler(sys.stdout)
handler.terminator = "\n\0"
logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(name)s:%(message)s", handlers=[handler])
log = logging.getLogger("dlbot")
IDS = ["big", "wrong", "invalid", "nochat", "flood", "token", "gone", "conflict", "hook", "restart", "entity", "stall", "reset", "empty", "short", "blocked", "kicked", "h429", "h502", "h504", "h404"]


def tell(error):
    log.error("Failed to fetch updates - %s: %s", type(error).__name__, error)
    log.error("Cause exception while process update id=800000001 by bot id=123456", exc_info=error)


async def with_aiogram():
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    for base in (f"http://127.0.0.1:{port}", "http://127.0.0.1:1"):
        session = AiohttpSession(api=TelegramAPIServer.from_base(base), timeout=1.5)
        bot = Bot("123456:TEST", session=session)
        for file_id in IDS + ["get_h404", "get_short", "get_resetmid", "get_stall"]:
            try:
                file = await bot.get_file(file_id)
                await bot.download_file(file.file_path, "/srv/bot/models/ana/x.bin", timeout=1.5)
            except Exception as error:
                tell(error)
            if base.endswith(":1"):
                break
        await session.close()


async def with_telebot():
    import telebot
    telebot.apihelper.API_URL = f"http://127.0.0.1:{port}/bot{{0}}/{{1}}"
    telebot.apihelper.READ_TIMEOUT = 1.5
    bot = telebot.TeleBot("123456:TEST")
    for file_id in IDS:
        try:
            bot.get_file(file_id)
        except Exception as error:
            tell(error)


async def with_pyrogram():
    from pyrogram import errors
    from pyrogram.raw import functions, types
    query = type("Query", (), {"QUALNAME": "functions.upload.GetFile"})
    for code, message in ((420, "FLOOD_WAIT_37"), (420, "FLOOD_PREMIUM_WAIT_9"), (420, "SLOWMODE_WAIT_30"), (400, "FILE_REFERENCE_EXPIRED"), (400, "PEER_ID_INVALID"), (401, "AUTH_KEY_UNREGISTERED"), (401, "SESSION_REVOKED"), (403, "CHAT_WRITE_FORBIDDEN"), (400, "CHANNEL_PRIVATE"), (406, "AUTH_KEY_DUPLICATED"), (500, "RPC_CALL_FAIL"), (-503, "Timeout"), (303, "FILE_MIGRATE_4")):
        try:
            errors.RPCError.raise_it(types.RpcError(error_code=code, error_message=message), functions.upload.GetFile)
        except Exception as error:
            log.error("%s", error)
            log.error("Cause exception", exc_info=error)
    logging.getLogger("pyrogram.session.session").warning('[%s] Waiting for %s seconds before continuing (required by "%s")', "demo", 12, "upload.GetFile")
    from pyrogram.connection.transport.tcp.tcp import TCP
    for host, wait in (("127.0.0.1", 2),):
        for port_ in (1, int(port)):
            tcp = TCP(False, None)
            try:
                await asyncio.wait_for(tcp.connect((host, port_)), wait)
            except Exception as error:
                logging.getLogger("pyrogram.connection.connection").warning("Unable to connect due to network issues: %s", error)

asyncio.run(globals()[f"with_{library}"]())
