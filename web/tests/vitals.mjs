// What a visitor waits for, with 10,000 incidents and 5,000 downloads: printed, and held to what feels at once.

import { assert, done, home, inside, live, person, settled, visit } from "./person.mjs";

const logged = await inside("ana");
const state = await logged.context().storageState();
const results = {};
for (const path of ["/", "/incidents", "/downloads", "/operations", "/logs"]) {
  const page = await person();
  await page.context().addCookies(state.cookies);
  await page.addInitScript(() => {
    window.vitals = { shift: 0, largest: 0, delay: 0 };
    new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.vitals.largest = one.startTime))).observe({ type: "largest-contentful-paint", buffered: true });
    new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.vitals.shift += one.hadRecentInput ? 0 : one.value))).observe({ type: "layout-shift", buffered: true });
    new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.vitals.delay = Math.max(window.vitals.delay, one.duration)))).observe({ type: "event", buffered: true, durationThreshold: 16 });
  });
  await page.goto(home + path);
  await live(page);
  await settled(page);
  // Through the list, page by page, as a thumb would.
  for (let turn = 0; turn < 25; turn += 1) {
    await page.mouse.wheel(0, 3_000);
    await page.evaluate(() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next))));
  }
  const rows = await page.locator("main .rows > li").count();
  await page.locator(".bell").click();
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  const first = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0);
  const { shift, largest, delay } = await page.evaluate(() => window.vitals);
  results[path] = { first: Math.round(first), largest: Math.round(largest), delay: Math.round(delay), shift: Number(shift.toFixed(4)), rows };
  await page.context().close();
}
console.log("vitals (ms; layout shift; rows in the document):");
for (const [path, found] of Object.entries(results)) console.log(`  ${path.padEnd(12)} ${JSON.stringify(found)}`);
for (const [path, found] of Object.entries(results)) {
  assert.ok(found.shift < 0.01, `${path} jumps: ${found.shift}`);
  assert.ok(found.rows < 200, `${path}: ${found.rows} rows exist at once`);
}
await done();
