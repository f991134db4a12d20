// Lines that strangers wrote, on every page: nothing of them runs, nothing of them asks for anything.

import { assert, done, hand, inside, PAGES, picture, settled, visit } from "./person.mjs";

const LINES = [
  `<script>alert(1)</script>`,
  `<img src=x onerror=alert(1)>`,
  `"><svg onload=alert(1)>`,
  `<a href="javascript:alert(1)">click</a>`,
  `javascript:alert(1)`,
  `</style><style>*{background:url(http://198.51.100.7/a)}`,
  `<iframe src=http://198.51.100.7/></iframe>`,
  `<meta http-equiv=refresh content=0;url=http://198.51.100.7/>`,
  `<base href=http://198.51.100.7/>`,
  `{{constructor.constructor('alert(1)')()}} \${alert(1)}`,
  `\u001b]0;owned\u0007\u001b[2J \u202e4pm.exe\u2066\u200b\ufeff`,
  `http://198.51.100.7/track.png`,
  `../../../../etc/passwd`,
  `__proto__[x]=1&constructor`,
  `a`.repeat(5_000),
];

const page = await inside("ana");
await visit(page, "/logs");
for (const line of LINES) {
  await hand("say", { text: `LMEVIL ${line}\n` });
  await hand("say", { text: `logmedic job=${JSON.stringify(line.slice(0, 200))} path=models/ana/a.mp4 size=10\n` });
  await hand("say", { text: `ERROR ${line} went wrong in a way that nobody knows\n` });
}
await page.locator("main").getByText("onerror=alert(1)").first().waitFor();
await picture(page, "hostile-logs");
for (const path of PAGES) {
  await visit(page, path);
  const found = await page.evaluate(() => ({
    scripts: [...document.scripts].filter((script) => new URL(script.src, location.href).origin !== location.origin || !script.src).length,
    foreign: [...document.querySelectorAll("[src], [href], [action]")].map((one) => one.src ?? one.href ?? one.action)
      .filter((at) => typeof at === "string" && at && new URL(at, location.href).origin !== location.origin),
    strange: document.querySelectorAll("iframe, object, embed, base, meta[http-equiv], main style, main svg[onload], main img:not([src^='/api/'])").length,
    wide: document.documentElement.scrollWidth - innerWidth,
  }));
  assert.deepEqual({ path, ...found }, { path, scripts: 0, foreign: [], strange: 0, wide: Math.min(found.wide, 0) });
}

// Their stories, too.
const ids = await page.evaluate(async () => (await (await fetch("/api/v1/incidents?limit=50")).json()).items.map((one) => one.id));
assert.ok(ids.length > 5, `${ids.length} incidents`);
for (const id of ids.slice(0, 12)) {
  await visit(page, `/incidents/${id}`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, id);
}
const jobs = await page.evaluate(async () => (await (await fetch("/api/v1/jobs?limit=5")).json()).items.map((one) => one.id));
for (const id of jobs) await visit(page, `/downloads/${id}`);
await page.locator(".bell").click();
await settled(page);
await picture(page, "hostile-bell");
await done();
