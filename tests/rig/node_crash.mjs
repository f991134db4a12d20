// Ways in which Node.js itself writes an error: uncaught, rejected, out of memory, and through loggers. Loopback only.
//   node node_crash.mjs CASE http://127.0.0.1:PORT      CASE: one of the names below; `loggers` writes many events
// Needs, where it is run: npm i axios winston pino bunyan log4js. A line `%%` parts the events of `loggers`.
import fs from 'node:fs';
import net from 'node:net';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
const [name, base] = process.argv.slice(2);
const require = createRequire(process.cwd() + '/');
const cases = {
  throw: () => setTimeout(() => { throw new Error('state machine out of sync'); }),
  type: () => setTimeout(() => { const message = {}; message.document.file_id; }),
  string: () => { throw 'out of coffee'; },
  reject: () => { Promise.reject(new Error('queue is gone')); },
  rejectvalue: () => { Promise.reject({ code: 7 }); },
  emit: () => net.connect(9, '127.0.0.1'),
  missing: () => fs.createReadStream('/srv/bot/downloads/a b.mp4'),
  fetch: () => fetch('http://127.0.0.1:9/a.mp4').catch((e) => { throw e; }),
  port: () => fetch(base + '/reset'),
  heap: () => { const all = []; for (;;) all.push(new Array(1e5).fill({ a: Math.random() })); },
  spawn: () => spawn('/srv/bot/bin/yt-dlp', ['--version']),
  spawnname: () => spawn('yt-dlp-nightly', ['--version']),
  warn: () => { new Buffer(3); process.emitWarning('cache is cold'); for (let i = 0; i < 12; i++) process.on('exit', () => {}); setTimeout(() => {}, 2 ** 40).unref(); },
  handled: () => {
    process.on('uncaughtException', (e) => console.error('Uncaught exception:', e));
    process.on('unhandledRejection', (reason, promise) => console.error('Unhandled Rejection at:', promise, 'reason:', reason));
    setTimeout(() => { throw new RangeError('index 7 of 3'); });
    Promise.reject(new Error('no such job'));
  },
  any: () => Promise.any([Promise.reject(new Error('mirror 1')), Promise.reject(new Error('mirror 2'))]),
  loggers: async () => {
    const axios = require('axios'), winston = require('winston'), pino = require('pino'), bunyan = require('bunyan'), log4js = require('log4js');
    const errors = [];
    for (const path of ['/page/404/a.mp4', '/page/503/a.mp4', '/page/429/a.mp4', '/reset', '/stall']) await axios.get(base + path, { timeout: 400 }).catch((e) => errors.push(e));
    for (const path of ['/srv/bot/downloads/a.mp4', '/proc/a.mp4']) try { fs.writeFileSync(path, ''); } catch (e) { errors.push(e); }
    errors.push(new TypeError("Cannot read properties of undefined (reading 'file_id')"));
    const { combine, timestamp, json, errors: stack, printf, simple } = winston.format;
    const w = (format) => winston.createLogger({ format, transports: [new winston.transports.Console({ stderrLevels: ['error', 'info'] })] });
    const logs = [w(combine(stack({ stack: true }), timestamp(), json())), w(combine(timestamp(), printf((i) => `${i.timestamp} [${i.level}]: ${i.message}`))), w(simple())];
    log4js.configure({ appenders: { e: { type: 'stderr', layout: { type: 'basic' } } }, categories: { default: { appenders: ['e'], level: 'debug' } } });
    const p = pino({ level: 'debug' }, pino.destination({ dest: 2, sync: true })), b = bunyan.createLogger({ name: 'bot', stream: process.stderr, serializers: bunyan.stdSerializers }), l = log4js.getLogger('download');
    const part = async () => { await new Promise((y) => setTimeout(y, 5)); process.stderr.write('%%\n'); };
    for (const e of errors) {
      logs[0].error(e); await part();
      logs[1].error(`download failed: ${e.message}`); await part();
      logs[2].error('download failed: ' + e.message); await part();
      p.error({ err: { type: e.name, message: e.message, stack: e.stack.split('\n').slice(0, 3).join('\n'), code: e.code, path: e.path } , url: e.config?.url }, 'download failed'); await part();
      p.warn(`attempt 1/3 failed: ${e.message}`); await part();
      b.error({ err: e }, 'download failed'); await part();
      l.error('download failed:', e.message); await part();
    }
    p.info('saved /srv/bot/downloads/503 Service Unavailable.mp4'); await part();
    p.info({ file: 'ENOENT.mp4', caption: 'connect ECONNREFUSED' }, 'received'); await part();
    logs[0].info('retrying in 5 s (attempt 2/3)'); await part();
    logs[1].info('upload of "Request failed with status code 503.mp4" finished'); await part();
    l.info('Caption: socket hang up'); await part();
    b.info({ title: 'AxiosError: timeout of 5000ms exceeded' }, 'queued'); await part();
  },
};
await cases[name]();
