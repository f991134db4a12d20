"""A mail server (aiosmtpd) for tests/channels.rs: prints its port, then each mail as one line of JSON.

The first argument may be the codes with which the first mails are refused, such as 451,550.
"""
import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP

refusals = [code for code in (sys.argv[1] if len(sys.argv) > 1 else "").split(",") if code]


class Handler:
    async def handle_DATA(self, server, session, envelope):
        if refusals:
            code = refusals.pop(0)
            print(json.dumps({"refused": code}), flush=True)
            return f"{code} not now"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "parts": parts,
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    # Ends with the test.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
