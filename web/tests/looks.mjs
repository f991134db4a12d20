// Every page in both themes, widths and languages: nothing that axe finds, nothing wider than the window; a picture each.

import fs from "node:fs";
import { createRequire } from "node:module";
import { assert, done, hand, inside, PAGES, picture, visit } from "./person.mjs";

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// Something to see.
for (const name of ["ana", "bea", "cleo"]) await hand("missing", { name });
await hand("down");
await hand("say", { text: "logmedic job=one file_id=BAACAgIAAxkBAAIwXFWBiq path=models/ana/b.mp4 size=2000000\nERROR something that no rule knows went wrong\n" });

const findings = [];
for (const [theme, width, language] of [["light", 1280, "en"], ["dark", 1280, "es"], ["light", 390, "es"], ["dark", 390, "en"], ["light", 1920, "en"]]) {
  const page = await inside("ana", { theme, width, language });
  const ids = await page.evaluate(async () => (await (await fetch("/api/v1/incidents")).json()).items.map((one) => one.id));
  const jobs = await page.evaluate(async () => (await (await fetch("/api/v1/jobs")).json()).items.map((one) => one.id));
  for (const path of [...PAGES, `/incidents/${ids[0]}`, `/downloads/${jobs[0]}`, "/nowhere"]) {
    await visit(page, path);
    const name = `${path.split("/").slice(1, 3).map((part) => part.slice(0, 14)).join("-").replace(/-01.*/, "-one") || "overview"}-${theme}-${width}-${language}`;
    await picture(page, name);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) findings.push(`${name}: ${wide} px wider than the window`);
    // Past the page's own policy, which forbids what is put in from outside.
    await page.evaluate(`(() => { const module = undefined; const exports = undefined; ${axe} })()`).catch(() => {});
    const { violations } = await page.evaluate(() => window.axe.run());
    for (const one of violations) findings.push(`${name}: ${one.id}: ${one.nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(" … ")}`);
  }
  await page.context().close();
}

// By keyboard alone: to the content, through the pages, into a dialog and out of it.
const page = await inside("ana");
await visit(page, "/");
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
await page.keyboard.press("Enter");
assert.equal(await page.evaluate(() => document.activeElement.id), "content");
await page.locator(".bell").focus();
await page.keyboard.press("Enter");
await page.getByRole("dialog").waitFor();
await page.keyboard.press("Escape");
await page.waitForFunction(() => document.activeElement.classList.contains("bell"));
assert.deepEqual(findings, []);
await done();
