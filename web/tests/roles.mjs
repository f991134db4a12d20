// A viewer sees everything that a viewer may, and every button that is not theirs says so; the agent would refuse anyway.

import { assert, done, hand, inside, picture, visit } from "./person.mjs";

await hand("down");
const vera = await inside("vera");
await visit(vera, "/incidents");
await vera.locator("main .rows a").first().click();
const retry = vera.getByRole("button", { name: /retry/i }).first();
await retry.waitFor();
assert.equal(await retry.getAttribute("aria-disabled"), "true");
assert.match(await retry.getAttribute("title"), /operator/);
await picture(vera, "viewer-story");
assert.equal(await vera.getByRole("link", { name: "Settings" }).count(), 0);
await visit(vera, "/settings");
await vera.getByText("Your role may not see this.").waitFor();
await picture(vera, "viewer-settings");
const status = await vera.evaluate(async () => {
  const { items } = await (await fetch("/api/v1/incidents")).json();
  return (await fetch(`/api/v1/incidents/${items[0].id}/retry`, { method: "POST" })).status;
});
assert.equal(status, 403);

// The role changes: the open page follows, without a new login and without being loaded anew.
await visit(vera, "/incidents");
await vera.locator("main .rows a").first().click();
const acknowledge = vera.getByRole("button", { name: /acknowledge/i }).first();
await acknowledge.waitFor();
assert.equal(await acknowledge.getAttribute("aria-disabled"), "true");
const ana = await inside("ana");
await visit(ana, "/account");
await ana.getByLabel(/role: vera/i).selectOption("operator");
await vera.waitForFunction(() => [...document.querySelectorAll("main button")].some((one) => /acknowledge/i.test(one.textContent) && !one.hasAttribute("aria-disabled")));
await acknowledge.click();
await vera.waitForFunction(async () => {
  const { items } = await (await fetch("/api/v1/incidents?state=open")).json();
  return items[0]?.acknowledged !== null;
});
await hand("answer");
await done();
