// Errors of Node's HTTP clients and of its file system, as scripts print them. Loopback only.
//   node node_http.mjs http://127.0.0.1:PORT DIR [STYLE]
// PORT: tests/rig/server.py; DIR: with `denied` (mode 000), `ro` (read-only mount), `full` (tmpfs without room);
// STYLE: message (default), whole (console.error(error)), stack. Needs, where it is run: npm i axios got undici
// node-fetch nf2@npm:node-fetch@2 superagent request needle ky axios-retry. A line `%%` parts the events.
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { pipeline } from 'node:stream/promises';

const [base, dir, style = 'message', only] = process.argv.slice(2);
const require = createRequire(process.cwd() + '/');
const load = async (name) => { const m = await import(require.resolve(name)); return m.default ?? m; };
const sink = () => fs.createWriteStream('/dev/null');
const axios = await load('axios'), got = await load('got'), fetch3 = await load('node-fetch'), fetch2 = await load('nf2');
const undici = await load('undici'), superagent = await load('superagent'), request = await load('request');
const needle = await load('needle'), ky = await load('ky');
const ok = (r) => { if (!r.ok) throw new Error(`HTTP error! status: ${r.status} ${r.statusText}`); return r; };
const whole = (r) => r.arrayBuffer ? r.arrayBuffer() : r.buffer();

const clients = {
  axios: (url) => axios.get(url, { timeout: 700, responseType: 'arraybuffer' }),
  'axios-stream': async (url) => pipeline((await axios.get(url, { timeout: 700, responseType: 'stream' })).data, sink()),
  got: (url) => got(url, { timeout: { request: 700 }, retry: { limit: 0 } }),
  'got-stream': (url) => pipeline(got.stream(url, { timeout: { request: 700 }, retry: { limit: 0 } }), sink()),
  fetch: async (url) => whole(ok(await fetch(url, { signal: AbortSignal.timeout(700) }))),
  undici: async (url) => {
    const { statusCode, body } = await undici.request(url, { headersTimeout: 700, bodyTimeout: 700 });
    if (statusCode >= 400) throw new Error(`Request failed: ${statusCode}`);
    return body.arrayBuffer();
  },
  'undici-throw': (url) => undici.request(url, { headersTimeout: 700, bodyTimeout: 700, throwOnError: true }).then(r => r.body.text()),
  'node-fetch3': async (url) => whole(ok(await fetch3(url, { signal: AbortSignal.timeout(700) }))),
  'node-fetch2': async (url) => whole(ok(await fetch2(url, { timeout: 700 }))),
  superagent: (url) => superagent.get(url).timeout({ response: 700, deadline: 1500 }),
  request: (url) => new Promise((y, n) => request({ url, timeout: 700 }, (e, r) => e ? n(e) : r.statusCode >= 400 ? n(new Error(`Status code: ${r.statusCode}`)) : y())),
  needle: (url) => needle('get', url, null, { response_timeout: 700, read_timeout: 700 }),
  ky: (url) => ky(url, { timeout: 700, retry: 0 }).arrayBuffer(),
  http: (url) => new Promise((y, n) => http.get(url, (r) => {
    if (r.statusCode >= 400) return n(new Error(`Failed to get '${url}' (${r.statusCode})`));
    pipeline(r, sink()).then(y, n);
  }).on('error', n).setTimeout(700, function () { this.destroy(new Error('Request timed out')); })),
};
const urls = ['/page/404/a.mp4', '/page/410/a.mp4', '/page/403/a.mp4', '/page/401/a.mp4', '/page/429/a.mp4', '/page/413/a.mp4',
  '/page/500/a.mp4', '/page/503/a.mp4', '/page/504/a.mp4', '/page/408/a.mp4', '/short', '/stall', '/stallmid', '/reset', '/resetmid',
  '/empty', '/badchunk', '/badgzip'].map((p) => base + p);
urls.push('http://127.0.0.1:9/a.mp4', 'http://localhost:1/a.mp4', 'http://no-such-host.invalid/a.mp4', 'notaurl');

const show = (where, error) => {
  if (style === 'whole') console.error(`Download failed:`, error);
  else if (style === 'bare') console.error(error);
  else if (style === 'stack') console.error(error.stack);
  else console.error(`[ERROR] ${where}: ${error.message}`);
  console.error('%%');
};
for (const [name, client] of Object.entries(clients)) {
  if (only && !only.split(',').includes(name)) continue;
  for (const url of urls) {
    if (name === 'superagent' && url.endsWith('gzip')) continue; // it dies of that one
    try { const r = await client(url); console.error(`# ${name} ${url}: no error ${r?.statusCode ?? ''}`); } catch (error) { show(name, error); }
  }
}
const calls = {
  open: (p) => fs.writeFileSync(p + '/a.mp4', 'x'), read: (p) => fs.readFileSync(p + '/a b.mp4'), mkdir: (p) => fs.mkdirSync(p + '/b'),
  rename: (p) => fs.renameSync(p + '/a.part', p + '/a.mp4'), copy: (p) => fs.copyFileSync(p + '/a.mp4', p + '/b.mp4'),
  readdir: (p) => fs.readdirSync(p), unlink: (p) => fs.unlinkSync(p + '/a.mp4'), rmdir: (p) => fs.rmdirSync(p), stat: (p) => fs.statSync(p + '/x'),
  stream: (p) => new Promise((y, n) => fs.createWriteStream(p + '/a.mp4').on('error', n).end('x'.repeat(99999), y)),
  promise: (p) => fs.promises.writeFile(p + '/a.mp4', 'x'.repeat(99999)), access: (p) => fs.accessSync(p, fs.constants.W_OK), utimes: (p) => fs.utimesSync(p + '/a', 1, 1), chmod: (p) => fs.chmodSync(p, 0o7),
};
if (!only || only.includes('fs')) for (const place of ['missing', 'denied', 'ro', 'full', 'afile']) {
  for (const [name, call] of Object.entries(calls)) {
    try { await call(`${dir}/${place}`); } catch (error) { show(name, error); }
  }
}
