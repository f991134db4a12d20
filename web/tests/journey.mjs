// From the link of the first start to a fault that opens, heals and closes without a reload; operations; the bell.

import { assert, done, hand, home, live, person, picture, sees, settled } from "./person.mjs";

const page = await person();
await page.goto(process.env.LOGMEDIC);
await page.fill("[name=account]", "ana");
await page.fill("[name=password]", process.env.PASSWORD);
await page.press("[name=password]", "Enter");
await page.waitForURL(`${home}/`);
await live(page);
await sees(page, "All is well");
await sees(page, "Nothing is broken");

// Marks this document: a reload would lose it.
await page.evaluate(() => (window.same = true));

// A fault opens before the eyes …
await hand("down");
const open = page.locator(".panel", { hasText: "Open incidents" });
await open.getByText("server down").waitFor();
await page.locator(".nav .count.bad").waitFor();
await picture(page, "journey-open");
await open.getByText("server down").click();
await page.waitForURL(/\/incidents\/.+/);
await settled(page);
await picture(page, "journey-story-open");

// … and is healed before them, on its own page.
await hand("answer");
await page.locator("main").getByText(/healed and proven|recovered by itself/).first().waitFor();
await picture(page, "journey-story-healed");
await page.getByRole("link", { name: "Overview" }).first().click();
await sees(page, "Nothing is broken");

// What was said about it can be read, and the number goes down.
const bell = page.locator(".bell");
await page.locator(".bell .badge").waitFor();
const before = Number(await page.locator(".bell .badge").textContent());
await bell.click();
const tray = page.getByRole("dialog");
await tray.locator(".notice.new").first().waitFor();
await picture(page, "journey-bell");
await tray.getByRole("button", { name: "Mark as read" }).first().click();
await page.waitForFunction((before) => Number(document.querySelector(".bell .badge")?.textContent ?? 0) < before, before);
await tray.getByRole("button", { name: "Clear" }).click();
await tray.getByText("Nothing to read").waitFor();
await page.waitForFunction(() => !document.querySelector(".bell .badge"));
await page.keyboard.press("Escape");
await tray.waitFor({ state: "hidden" });

// An operation is begun, held, let go on and ended.
await page.getByRole("link", { name: "Operations" }).first().click();
await page.getByRole("button", { name: /^Start/ }).click();
await page.getByRole("dialog").locator("li", { hasText: "count" }).first().getByRole("button").click();
const state = (word) => page.locator("main .status", { hasText: word }).first().waitFor();
await state("running");
await page.getByRole("button", { name: /^Pause/ }).first().click();
await state(/^paused/);
await picture(page, "journey-paused");
await page.getByRole("button", { name: /^Resume/ }).first().click();
await state("running");
await page.getByRole("button", { name: /^Cancel/ }).first().click();
const sure = page.getByRole("dialog").getByRole("button", { name: /cancel/i });
await Promise.race([sure.first().click().catch(() => {}), state("cancelled").catch(() => {})]);
await state("cancelled");

assert.equal(await page.evaluate(() => window.same), true);
await done();
