// Errors of discord.js (its REST client) and of discord.py against a little API that refuses. Loopback only.
//   node discord_clients.mjs [PYTHON]      PYTHON: an interpreter with discord.py
// Needs, where it is run: npm i discord.js. A line `%%` parts the events.
import http from 'node:http';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
const { REST } = createRequire(process.cwd() + '/')('discord.js');
const answers = { // first word of the path → status, Discord's code, message
  perm: [403, 50013, 'Missing Permissions'], access: [403, 50001, 'Missing Access'], dm: [403, 50007, 'Cannot send messages to this user'], token: [401, 0, '401: Unauthorized'],
  message: [404, 10008, 'Unknown Message'], interaction: [404, 10062, 'Unknown interaction'], large: [413, 40005, 'Request entity too large'],
  acknowledged: [400, 40060, 'Interaction has already been acknowledged.'], form: [400, 50035, 'Invalid Form Body'], down: [503, 0, 'upstream connect error'], flood: [429, 0, 'You are being rate limited.'],
};
const server = http.createServer((q, s) => {
  const word = q.url.split('/').find((w) => w in answers);
  if (!word) return q.socket.destroy();
  const [status, code, message] = answers[word];
  const body = { code, message };
  if (status === 429) Object.assign(body, { retry_after: 1.5, global: false });
  const headers = { 'Content-Type': 'application/json', Via: '1.1 google' };
  if (status === 429) headers['Retry-After'] = '1.5';
  s.writeHead(status, headers).end(JSON.stringify(body));
}).listen(0, '127.0.0.1', async () => {
  const api = `http://127.0.0.1:${server.address().port}`;
  for (const word of [...Object.keys(answers), 'reset']) {
    const rest = new REST({ api, retries: 0, rejectOnRateLimit: () => true, timeout: 900 }).setToken('x');
    rest.on('restDebug', (text) => { if (/429|rate/.test(text)) console.error(text + '\n%%'); });
    await Promise.race([rest.get(`/${word}/42`), new Promise((_, n) => setTimeout(n, 1000))]).catch((e) => { if (e) console.error(e, '\n%%'); });
  }
  if (!process.argv[2]) return process.exit();
  const python = `
import asyncio, logging, discord, discord.http as h, sys
discord.utils.setup_logging()
h.Route.BASE = '${api}'
async def main():
    log = logging.getLogger('bot')
    for word in ${JSON.stringify([...Object.keys(answers).filter((w) => w !== 'down'), 'reset'])}:
        client = h.HTTPClient(asyncio.get_running_loop(), max_ratelimit_timeout=30)
        try:
            await client.static_login('x')
        except Exception as e:
            pass
        try:
            await asyncio.wait_for(client.request(h.Route('GET', '/' + word + '/42')), 2.5)
        except asyncio.TimeoutError: pass
        except Exception as e:
            log.error('upload failed: %s', e); print('%%', file=sys.stderr)
            log.exception('Ignoring exception in on_message'); print('%%', file=sys.stderr)
        await client.close()
asyncio.run(main())`;
  spawn(process.argv[2], ['-c', python], { stdio: 'inherit' }).on('exit', () => process.exit());
});
