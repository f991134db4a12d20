// Errors of Telegram's Node.js libraries against tests/rig/server.py. Loopback only.
//   node node_bots.mjs http://127.0.0.1:PORT [message|bare|polling]
// Needs, where it is run: npm i telegraf grammy node-telegram-bot-api ntba@npm:node-telegram-bot-api@0.66
// A line `%%` parts the events.
import { createRequire } from 'node:module';
const [base, style = 'message'] = process.argv.slice(2);
const require = createRequire(process.cwd() + '/');
const { Telegraf, Telegram } = require('telegraf');
const { Api } = require('grammy');
const Old = require('ntba'), New = require('node-telegram-bot-api').Api;
const token = '123456:TEST';
const clients = {
  telegraf: (id) => new Telegram(token, { apiRoot: base }).getFile(id),
  grammy: (id) => new Api(token, { apiRoot: base, timeoutSeconds: 1 }).getFile(id),
  'node-telegram-bot-api@0': (id) => new Old(token, { baseApiUrl: base, request: { timeout: 900 } }).getFile(id),
  'node-telegram-bot-api@2': (id) => new New(token, { apiRoot: base, timeoutMs: 900, maxRetries: 0 }).getFile({ file_id: id }),
};
const ids = ['big', 'wrong', 'nochat', 'flood', 'blocked', 'kicked', 'token', 'gone', 'conflict', 'hook', 'restart', 'entity', 'h502', 'h504', 'reset', 'empty'];
const show = (name, error) => {
  if (style === 'bare') console.error(error);
  else console.error(`[ERROR] ${name}: ${error.message}`);
  console.error('%%');
};
if (style === 'polling') {
  for (const [Bot, id] of [[Old, 'conflict'], [Old, 'token'], [Old, 'flood'], [Old, 'h502'], [Old, 'reset'], [Old, 'gone']]) {
    const bot = new Bot(token, { baseApiUrl: base, polling: { interval: 50, params: { file_id: id, timeout: 0 } } });
    await new Promise((y) => setTimeout(y, 300));
    await bot.stopPolling({ cancel: true }).catch(() => {});
    console.error('%%');
  }
  process.exit();
}
for (const [name, client] of Object.entries(clients)) {
  for (const id of ids) {
    try { await client(id); console.error(`# ${name} ${id}: no error`); } catch (error) { show(name, error); }
  }
  client('stall').catch((e) => show(name, e));
}
