// Shows notifications that come while no page is open. It keeps no files: what is shown is always the agent's own.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let said = {};
  try {
    said = event.data.json();
  } catch {
    // A push service may send an empty one to see whether we are here.
  }
  const options = { body: said.body ?? "", tag: said.tag ?? "logmedic", icon: "/favicon.svg", badge: "/favicon.svg", data: { path: said.path ?? "/notifications" } };
  event.waitUntil(self.registration.showNotification(said.title ?? "logmedic", options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  // Only a page of ours, whatever the message says.
  const to = new URL(event.notification.data?.path ?? "/", self.location.origin);
  const url = to.origin === self.location.origin ? to.href : self.location.origin;
  const show = async () => {
    const pages = await self.clients.matchAll({ type: "window" });
    const page = pages[0];
    if (page) {
      await page.focus();
      await page.navigate(url);
    } else await self.clients.openWindow(url);
  };
  event.waitUntil(show());
});
