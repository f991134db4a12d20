// A person at a real Chromium: opens pages, looks, presses; nothing that goes wrong on a page goes by unseen.

import assert from "node:assert/strict";
import fs from "node:fs";
import readline from "node:readline";
import { chromium } from "playwright-core";

export { assert };

/** Where the agent's pages are. */
export const home = new URL("/", process.env.LOGMEDIC).origin;

/** Nothing takes longer, on a machine however busy. */
const LONG = 30_000;

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks whoever runs this to do something that a browser cannot. */
export async function hand(wish, more = {}) {
  process.stdout.write(`hand: ${JSON.stringify({ do: wish, ...more })}\n`);
  return JSON.parse((await answers.next()).value);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // A test runs as root in many containers; and nothing calls home from here.
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

/** What went wrong on any page. */
const wrongs = [];

/** A browser of its own. Requests elsewhere, errors and broken policies are remembered, and end the test in `done`. */
export async function person({ width = 1280, theme = "light", language = "en" } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 844 : 800 },
    colorScheme: theme,
    locale: language,
    hasTouch: width < 600,
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(LONG);
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    window.alert = () => console.error("a script ran");
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => wrongs.push(`${page.url()}: ${error.stack ?? error}`));
  page.on("console", (message) => {
    // The browser itself notes each refused request; those are asked for here.
    if (message.type() === "error" && !/Failed to load resource|WebSocket connection to/.test(message.text())) wrongs.push(`${page.url()}: ${message.text()}`);
  });
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== home && protocol !== "data:" && protocol !== "blob:") wrongs.push(`${page.url()} asked ${request.url()}`);
  });
  return page;
}

/** Somebody who has logged in. */
export async function inside(name, how) {
  const page = await person(how);
  await page.goto(home);
  await page.fill("[name=account]", name);
  await page.fill("[name=password]", process.env.PASSWORD);
  await page.press("[name=password]", "Enter");
  await page.waitForSelector(".shell");
  await live(page);
  return page;
}

/** Waits until the page hears the agent. */
export const live = (page) => page.waitForSelector(".pulse.live", { state: "attached" });

/** Every page there is. */
export const PAGES = ["/", "/incidents", "/downloads", "/operations", "/library", "/logs", "/notifications", "/rules", "/system", "/connections", "/settings", "/account"];

/** Goes to a page by its address and waits until nothing is loading any more. */
export async function visit(page, path) {
  await page.goto(home + path);
  await page.waitForSelector(".shell");
  await live(page);
  await settled(page);
}

export const settled = (page) => page.waitForFunction(() => !document.querySelector("main .loading"));

/** Leaves a picture for people to look at. */
export async function picture(page, name) {
  fs.mkdirSync(process.env.PICTURES, { recursive: true });
  await page.screenshot({ path: `${process.env.PICTURES}/${name}.png`, fullPage: true });
}

/** Waits for a text on the page. */
export const sees = (page, text) => page.getByText(text).first().waitFor();

/** The end of a script: fails if anything went wrong on the way. */
export async function done() {
  await browser.close();
  assert.deepEqual(wrongs, []);
  process.exit(0);
}
