// The server goes and comes back: the page says so, is back within two seconds, and has what happened meanwhile.

import { EventEmitter } from "node:events";
import { assert, done, hand, inside, live, picture, sees } from "./person.mjs";

/** F2: back by itself in less than this, once the server answers. */
const BACK_MS = 2_000;

const page = await inside("ana");
await sees(page, "Nothing is broken");
await page.evaluate(() => (window.same = true));
// Which incidents the page was told to be over, by their class.
const ended = new EventEmitter();
page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => {
  const { data } = JSON.parse(payload);
  if (data?.ended_at) ended.emit(data.class);
}));
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

// An answer that was on its way when something newer was told does not hide it: this one is held back until then.
const told = new Promise((heard) => ended.once("server_down", heard));
await page.route(/\/api\/v1\/incidents\?limit=/, async (route) => {
  const response = await route.fetch();
  await hand("answer");
  await told;
  await route.fulfill({ response });
}, { times: 1 });
await page.locator(".panel", { hasText: "Latest" }).getByText("All").click();
await page.locator("li", { hasText: "server down" }).getByText("recovered").waitFor();
await page.goBack();
await sees(page, "Nothing is broken");

// What was opened while the server was away fills itself.
await hand("kill");
await page.waitForSelector(".pulse.away");
await page.locator(".panel", { hasText: "Latest" }).getByText("All").click();
await sees(page, "logmedic does not answer");
await hand("start");
await page.locator("li", { hasText: "missing path" }).getByText("healed").waitFor();
assert.equal(await page.evaluate(() => window.same), true, "the page was loaded anew");

// Lines of the log are told once; those that nobody was told are looked up.
await page.locator('a[href="/logs"]').first().click();
await hand("say", { text: "INFO a line that is heard\n" });
await sees(page, "a line that is heard");
await hand("kill");
await page.waitForSelector(".pulse.away");
await hand("say", { text: "INFO a line that is missed\n" });
await hand("start");
await sees(page, "a line that is missed");

// A session that ends elsewhere ends here.
await page.evaluate(() => fetch("/api/v1/auth/logout", { method: "POST" }));
await page.waitForSelector("[name=password]");
await done();
