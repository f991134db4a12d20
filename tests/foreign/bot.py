"""Saves every video it is sent to MODELS_DIR/{model}/{timestamp}_{random}.mp4."""

import logging
import os
import re
import secrets
import sys
import time
from pathlib import Path

from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters

logging.basicConfig(
    format="%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    level=logging.INFO,
    stream=sys.stdout,
)
logger = logging.getLogger("downloader")

SERVER = os.environ.get("BOT_API_URL", "https://api.telegram.org").rstrip("/")
MODELS = Path(os.environ.get("MODELS_DIR", "models"))
READ_TIMEOUT = float(os.environ.get("READ_TIMEOUT", "3"))

known_models = set()


def path_for(caption):
    found = re.search(r"#(\w+)", caption or "")
    model = found.group(1).lower() if found else "misc"
    folder = MODELS / model
    if model not in known_models:
        folder.mkdir(parents=True, exist_ok=True)
        known_models.add(model)
    return folder / f"{time.strftime('%Y%m%d_%H%M%S')}_{secrets.token_hex(3)}.mp4"


async def save(update: Update, context: ContextTypes.DEFAULT_TYPE):
    message = update.effective_message
    media = message.video or message.document
    logger.info("Received %s file_id=%s (%s bytes)", media.file_name, media.file_id, media.file_size)
    try:
        path = path_for(message.caption)
        logger.info("Downloading file_id=%s -> %s", media.file_id, path)
        file = await context.bot.get_file(media.file_id)
        await file.download_to_drive(path)
        size = path.stat().st_size
        if media.file_size and size != media.file_size:
            raise ValueError(f"Corrupt file {path}: expected {media.file_size} bytes, got {size} bytes")
        logger.info("Saved %s (%s bytes)", path, size)
    except Exception:
        logger.exception("Failed to save file_id=%s", media.file_id)


def main():
    application = (
        Application.builder()
        .token(os.environ["TELEGRAM_TOKEN"])
        .base_url(f"{SERVER}/bot")
        .base_file_url(f"{SERVER}/file/bot")
        .read_timeout(READ_TIMEOUT)
        .connect_timeout(READ_TIMEOUT)
        .concurrent_updates(4)
        .build()
    )
    application.add_handler(MessageHandler(filters.VIDEO | filters.Document.ALL, save))
    application.run_polling(bootstrap_retries=-1, timeout=10)


if __name__ == "__main__":
    main()
