#!/usr/bin/env python3
"""Telegram libraries against a Bot API server and data centres that misbehave; every record they log is printed, NUL between two.

    telegram_bots.py ptb|aiogram|telebot DIR      DIR: a directory with the folders `ro` (not writable) and `full` (no room)
    telegram_bots.py pyrogram|telethon DIR        MTProto clients; they run only where there is no route (`unshare -n`)

To see `ro` refuse as root: `setpriv --bounding-set=-dac_override,-dac_read_search python3 telegram_bots.py …`; `full` is a small
tmpfs filled up. `pyrogram` may be Pyrogram, pyrofork or kurigram, whichever is installed."""
import asyncio, contextlib, json, logging, os, pathlib, socket, socketserver, sqlite3, struct, sys, threading, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

library, target = sys.argv[1], sys.argv[2]
if library in ("pyrogram", "telethon") and len(open("/proc/net/route").readlines()) > 1:
    sys.exit("there is a route to the outside: run it under `unshare -n`")
handler = logging.StreamHandler(sys.stdout)
handler.terminator = "\n\0"
FORMATS = {
    "ptb": "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    "aiogram": "%(levelname)s:%(name)s:%(message)s",
    "telebot": "%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    "pyrogram": "[%(asctime)s] %(levelname)s - %(name)s - %(message)s",
    "telethon": "[%(levelname) 5s/%(asctime)s] %(name)s: %(message)s",
}
logging.basicConfig(level=logging.INFO, format=FORMATS[library], handlers=[handler])
log = logging.getLogger("bot")
ERRORS = """400 Bad Request: file is too big
400 Bad Request: wrong file_id or the file is temporarily unavailable
400 Bad Request: invalid file_id
400 Bad Request: chat not found
400 Bad Request: message to edit not found
400 Bad Request: wrong remote file identifier specified: can't unserialize it. Wrong last symbol
400 Bad Request: FILE_REFERENCE_EXPIRED
400 Bad Request: not enough rights to send videos to the chat
400 Bad Request: CHAT_ADMIN_REQUIRED
400 Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message
400 Bad Request: query is too old and response timeout expired or query ID is invalid
400 Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 12
400 Logged out
401 Unauthorized
403 Forbidden: bot was blocked by the user
403 Forbidden: bot was kicked from the supergroup chat
403 Forbidden: bot is not a member of the channel chat
403 Forbidden: bot can't initiate conversation with a user
403 Forbidden: user is deactivated
404 Not Found
404 Not Found: method not found
409 Conflict: terminated by other getUpdates request; make sure that only one bot instance is running
409 Conflict: terminated by setWebhook request
409 Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first
413 Request Entity Too Large
429 Too Many Requests: retry after 35
500 Internal Server Error: restart
502 Bad Gateway
504 Gateway Timeout""".splitlines()
queue = []


class Api(BaseHTTPRequestHandler):
    """Answers getFile as its file_id says and getUpdates with what is next in the queue."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body, kind="application/json"):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def error(self, line):
        if line == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return self.connection.close()
        if line == "empty":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if line == "stall":
            return time.sleep(6)
        if line.startswith("page"):
            code = int(line[4:])
            return self.answer(code, f"<html>\r\n<head><title>{code} Gateway</title></head>\r\n</html>\r\n".encode(), "text/html")
        code, text = line.split(" ", 1)
        data = {"ok": False, "error_code": int(code), "description": text}
        if code == "429":
            data["parameters"] = {"retry_after": int(text.rsplit(" ", 1)[1])}
        self.answer(int(code), json.dumps(data).encode())

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        if self.path.startswith("/file/"):
            return self.answer(200, b"x" * 90000, "video/mp4")
        method = self.path.rsplit("/", 1)[1].split("?")[0]
        query = dict(urllib.parse.parse_qsl(raw)) | dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        for line in ERRORS + ["reset", "empty", "stall", "page502", "page503"]:
            if query.get("file_id") == line or f'name="file_id"\r\n\r\n{line}\r\n' in raw:
                return self.error(line)
        if method == "getUpdates":
            if queue:
                line = queue.pop(0)
                return line and self.error(line) or self.answer(200, b'{"ok":true,"result":[]}')
            time.sleep(1)
        result = {"getUpdates": [], "getFile": {"file_id": "a", "file_unique_id": "u", "file_size": 90000, "file_path": "videos/file_7.mp4"}}
        result["getMe"] = {"id": 123456, "is_bot": True, "first_name": "Downloader", "username": "demo_download_bot"}
        self.answer(200, json.dumps({"ok": True, "result": result.get(method, True)}).encode())

    do_GET = do_POST


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
BASE = f"http://127.0.0.1:{server.server_address[1]}"
PLACES = [f"{target}/missing/a.mp4", f"{target}/ro/a.mp4", f"{target}/full/a.mp4"]
TOKEN = "123456:AAHkq3vQy5m7xWc9bTr2Zp8Ls4Nd6Fg1Ju0"


async def ptb():
    from telegram.ext import AIORateLimiter, ApplicationBuilder
    from telegram.request import HTTPXRequest
    fast = lambda: HTTPXRequest(read_timeout=2)
    build = lambda: ApplicationBuilder().token(TOKEN).base_url(BASE + "/bot").base_file_url(BASE + "/file/bot").request(fast()).get_updates_request(fast())
    app = build().build()
    await app.initialize()
    for line in ERRORS + ["reset", "empty", "stall", "page502", "page503"]:
        try:
            await app.bot.get_file(line)
        except Exception as error:
            log.error("Exception while handling an update:", exc_info=error)
            log.warning("Update 800000001 caused error %s", error)
    for place in PLACES:
        try:
            await (await app.bot.get_file("a")).download_to_drive(place)
        except Exception as error:
            log.error("Exception while handling an update:", exc_info=error)
    queue.extend(["502 Bad Gateway", "reset", "stall", "409 Conflict: terminated by other getUpdates request; make sure that only one bot instance is running", "429 Too Many Requests: retry after 2", "page502"])
    await app.updater.start_polling(timeout=1)
    await app.start()
    await asyncio.sleep(16)
    await app.updater.stop()
    await app.stop()
    limited = build().rate_limiter(AIORateLimiter(max_retries=1)).build()
    try:
        await limited.bot.get_file("429 Too Many Requests: retry after 35")
    except Exception as error:
        log.error("%s", error)
    try:
        await ApplicationBuilder().token("123456:wrong").base_url("http://127.0.0.1:1/bot").build().initialize()
    except Exception as error:
        log.error("Application will be shut down due to an error", exc_info=error)


async def aiogram():
    from aiogram import Bot, Dispatcher
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(BASE), timeout=2))
    for line in ERRORS + ["reset", "empty", "stall", "page502", "page503"]:
        try:
            await bot.get_file(line)
        except Exception as error:
            log.error("Download failed: %s", error)
            logging.getLogger("aiogram.event").error("Cause exception while process update id=%d by bot id=%d\n%s: %s", 800000001, 123456, type(error).__name__, error, exc_info=error)
    for place in PLACES:
        try:
            await bot.download_file("videos/file_7.mp4", place)
        except Exception as error:
            log.error("Download failed", exc_info=error)
    queue.extend(["502 Bad Gateway", "reset", "empty", "409 Conflict: terminated by other getUpdates request; make sure that only one bot instance is running", "401 Unauthorized", "429 Too Many Requests: retry after 2", "page503"])
    dispatcher = Dispatcher()
    task = asyncio.create_task(dispatcher.start_polling(bot, polling_timeout=1, handle_signals=False))
    await asyncio.sleep(14)
    await dispatcher.stop_polling()
    await task


async def telebot():
    import telebot
    from telebot import async_telebot, asyncio_helper
    telebot.apihelper.API_URL = BASE + "/bot{0}/{1}"
    telebot.apihelper.READ_TIMEOUT = telebot.apihelper.CONNECT_TIMEOUT = 2
    bot = telebot.TeleBot(TOKEN)
    def tries():
        for line in ERRORS + ["reset", "empty", "stall", "page502", "page503"]:
            try:
                bot.get_file(line)
            except Exception as error:
                log.error("Download failed: %s", error)
                log.error("Unhandled", exc_info=error)
        queue.extend(["502 Bad Gateway", "reset", "empty", "stall", "409 Conflict: terminated by other getUpdates request; make sure that only one bot instance is running", "429 Too Many Requests: retry after 2", "page503"])
        telebot.console_output_handler.setStream(sys.stdout)
        telebot.console_output_handler.terminator = "\n\0"
        threading.Timer(25, bot.stop_polling).start()
        bot.infinity_polling(timeout=1, long_polling_timeout=1)
    await asyncio.to_thread(tries)
    asyncio_helper.API_URL = BASE + "/bot{0}/{1}"
    asyncio_helper.REQUEST_TIMEOUT = 2
    other = async_telebot.AsyncTeleBot(TOKEN)
    for line in ["403 Forbidden: bot was blocked by the user", "429 Too Many Requests: retry after 35", "reset", "stall", "page502"]:
        try:
            await other.get_file(line)
        except Exception as error:
            log.error("Download failed: %s", error)
    await other.close_session()


RPC = "420 FLOOD_WAIT_37|420 FLOOD_PREMIUM_WAIT_9|420 SLOWMODE_WAIT_30|420 TAKEOUT_INIT_DELAY_86400|400 PEER_FLOOD|400 FILE_REFERENCE_EXPIRED|400 FILE_REFERENCE_INVALID|400 PEER_ID_INVALID|400 MSG_ID_INVALID|400 CHANNEL_INVALID|400 USERNAME_NOT_OCCUPIED|400 USERNAME_INVALID|400 INVITE_HASH_EXPIRED|400 FILE_ID_INVALID|400 LOCATION_INVALID|400 MEDIA_EMPTY|400 CHANNEL_PRIVATE|400 ACCESS_TOKEN_EXPIRED|400 API_ID_INVALID|400 CHAT_ADMIN_REQUIRED|400 USER_BANNED_IN_CHANNEL|400 USER_IS_BLOCKED|400 BOT_METHOD_INVALID|400 PHONE_CODE_INVALID|400 FILE_PARTS_INVALID|400 FILE_PART_3_MISSING|400 MD5_CHECKSUM_INVALID|400 MESSAGE_NOT_MODIFIED|400 BOT_RESPONSE_TIMEOUT|401 AUTH_KEY_UNREGISTERED|401 SESSION_REVOKED|401 SESSION_PASSWORD_NEEDED|401 USER_DEACTIVATED_BAN|403 CHAT_WRITE_FORBIDDEN|403 USER_PRIVACY_RESTRICTED|403 CHAT_SEND_MEDIA_FORBIDDEN|406 AUTH_KEY_DUPLICATED|406 CHANNEL_PRIVATE|406 FILEREF_UPGRADE_NEEDED|500 RPC_CALL_FAIL|500 INTERDC_2_CALL_ERROR|500 No workers running|500 WORKER_BUSY_TOO_LONG_RETRY|500 SOMETHING_NEW|-503 Timeout|-503 Timedout|303 FILE_MIGRATE_4|400 SOMETHING_NEW"


class Dc(socketserver.BaseRequestHandler):
    """A data centre that closes, resets or says nothing, in turn."""
    kinds = ["close", "reset", "transport", "stall"]

    def handle(self):
        kind = Dc.kinds[0]
        if kind == "stall":
            return time.sleep(15)
        self.request.recv(64)
        if kind == "transport":
            self.request.sendall(struct.pack("<i", 4) + struct.pack("<i", -429))
            time.sleep(1)
        if kind == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


dc = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dc)
dc.daemon_threads = True
threading.Thread(target=dc.serve_forever, daemon=True).start()


@contextlib.contextmanager
def held(path):
    """What runs inside finds the SQLite file locked; its error is logged."""
    other = sqlite3.connect(path)
    other.execute("create table if not exists held (x)")
    other.execute("begin exclusive")
    try:
        yield
    except Exception as error:
        log.error("Cannot open the session", exc_info=error)
    other.rollback()
    other.close()


async def pyrogram():
    from pyrogram import Client, errors
    from pyrogram.raw import functions, types
    os.chdir(target)
    for line in RPC.split("|"):
        code, text = line.split(" ", 1)
        try:
            errors.RPCError.raise_it(types.RpcError(error_code=int(code), error_message=text), functions.upload.GetFile)
        except Exception as error:
            log.error("%s", error)
            if code in ("420", "401") or "REFERENCE" in text or "NOT_MODIFIED" in text:
                log.error("Unhandled exception", exc_info=error)
    for port in (1, dc.server_address[1]):
        try:
            from pyrogram.session.internals import DataCenter
            DataCenter.__new__ = lambda cls, *a, **k: ("127.0.0.1", port)
        except ImportError:
            pass  # kurigram: dials in vain
        for _ in range(1 if port == 1 else 3):
            try:
                client = Client("demo", api_id=1, api_hash="a" * 32, bot_token="1:a", workdir=target, in_memory=True)
                await asyncio.wait_for(client.connect(), 20)
            except (Exception, asyncio.CancelledError) as error:
                log.error("Cannot start: %s: %s", type(error).__name__, error, exc_info=error)
            if port != 1:
                Dc.kinds.append(Dc.kinds.pop(0))
    try:
        from pyrogram.storage import FileStorage
    except ImportError:
        return
    storage = FileStorage("held", pathlib.Path(target))
    await storage.open()
    await storage.close()
    with held(f"{target}/held.session"):
        await FileStorage("held", pathlib.Path(target)).open()


async def telethon():
    from telethon import TelegramClient
    from telethon.errors import rpc_message_to_error
    from telethon.tl import functions, types
    request = functions.upload.GetFileRequest(types.InputDocumentFileLocation(1, 1, b"", ""), 0, 4096)
    for line in RPC.split("|"):
        code, text = line.split(" ", 1)
        error = rpc_message_to_error(types.RpcError(int(code), text), request)
        log.error("Download failed: %s", error)
        if "REFERENCE" in text:
            log.error("Download failed: %r", error)
        try:
            raise error
        except Exception as error:
            log.exception("Unhandled exception on handle_new_message")
    for port, kind in ((1, "close"), (dc.server_address[1], "close"), (dc.server_address[1], "reset"), (dc.server_address[1], "stall")):
        Dc.kinds[0] = kind
        client = TelegramClient(f"{target}/tele{port}{kind}", 1, "a" * 32, connection_retries=2, retry_delay=0, timeout=2)
        client.session.set_dc(2, "127.0.0.1", port)
        try:
            await asyncio.wait_for(client.connect(), 20)
        except (Exception, asyncio.CancelledError) as error:
            log.error("Cannot start", exc_info=error)
    path = f"{target}/tele_held"
    TelegramClient(path, 1, "a" * 32).session.close()
    with held(path + ".session"):
        TelegramClient(path, 1, "a" * 32).session.set_dc(2, "127.0.0.1", 1)
    for place in ("ro", "missing"):
        try:
            TelegramClient(f"{target}/{place}/tele", 1, "a" * 32)
        except Exception as error:
            log.error("Cannot open the session", exc_info=error)


asyncio.run(asyncio.wait_for(globals()[library](), 150))
