// Notifications of the browser itself: asks for permission, registers the worker, tells the agent where to send.

import { get, post, remove } from "./api";
import { language } from "./prefs";

/** Whether this browser can; over plain HTTP only `localhost` may. */
export const able = (): boolean => "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

interface Policies {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): { createScriptURL: (url: string) => unknown };
}

/** The worker's address, as browsers with Trusted Types want it. */
function worker(): string {
  const types = (window as { trustedTypes?: Policies }).trustedTypes;
  const only = (url: string): string => (url === "/sw.js" ? url : "");
  return (types ? types.createPolicy("logmedic-sw", { createScriptURL: only }).createScriptURL("/sw.js") : "/sw.js") as string;
}

/** The subscription of this browser, if there is one. */
export async function current(): Promise<PushSubscription | null> {
  if (!able()) return null;
  const registration = await navigator.serviceWorker.getRegistration("/");
  return (await registration?.pushManager.getSubscription()) ?? null;
}

/** Turns it on; `false`: the person said no. */
export async function turnOn(): Promise<boolean> {
  if ((await window.Notification.requestPermission()) !== "granted") return false;
  const registration = (await navigator.serviceWorker.getRegistration("/")) ?? (await navigator.serviceWorker.register(worker()));
  await navigator.serviceWorker.ready;
  const { key } = await get<{ key: string }>("notifications/push/key");
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await post("notifications/push", { ...subscription.toJSON(), expirationTime: undefined, language: language.value });
  return true;
}

/** Turns it off. */
export async function turnOff(subscription: PushSubscription): Promise<void> {
  await remove("notifications/push", { endpoint: subscription.endpoint });
  await subscription.unsubscribe();
}
