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
  const options = { body: said.body ?? "", tag: said.id ?? "logmedic", icon: "/favicon.svg", badge: "/favicon.svg" };
  event.waitUntil(self.registration.showNotification(said.title ?? "logmedic", options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const show = async () => {
    const [page] = await self.clients.matchAll({ type: "window" });
    if (page) {
      await page.focus();
      await page.navigate("/notifications");
    } else await self.clients.openWindow("/notifications");
  };
  event.waitUntil(show());
});
