// The server goes and comes back: the page says so, is back within two seconds, and has what happened meanwhile.

import { assert, done, hand, inside, live, picture, sees } from "./person.mjs";

/** F2: back by itself in less than this, once the server answers. */
const BACK_MS = 2_000;

const page = await inside("ana");
await sees(page, "Nothing is broken");
await page.evaluate(() => (window.same = true));
await hand("kill");
await page.waitForSelector(".pulse.away");
await page.waitForSelector(".stale");
await picture(page, "away");
// Two faults while nobody is told.
await hand("missing", { name: "eva" });
await hand("down");
await hand("start");
const since = Date.now();
await live(page);
const took = Date.now() - since;
console.log(`back after ${took} ms`);
assert.ok(took < BACK_MS, `${took} ms`);
await page.waitForSelector(".stale", { state: "detached" });
await page.locator(".panel", { hasText: "Open incidents" }).getByText("server down").waitFor();
await page.locator(".panel", { hasText: "Latest" }).getByText("missing path").waitFor();
await hand("answer");
await sees(page, "Nothing is broken");
assert.equal(await page.evaluate(() => window.same), true, "the page was loaded anew");

// A session that ends elsewhere ends here.
await page.evaluate(() => fetch("/api/v1/auth/logout", { method: "POST" }));
await page.waitForSelector("[name=password]");
await done();
