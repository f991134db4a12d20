// What every page needs to know at once: who is here, what is open, what runs, what is unread, how the agent is.

import { computed, signal } from "@preact/signals";
import * as api from "./api";
import { failed, fill, putInto } from "./list";
import * as live from "./live";
import type { Frame, Health, Incident, Job, Me, Notification, Operation, Page, Role } from "./types";

export type Session = { state: "unknown" } | { state: "none" } | { state: "in"; me: Me };

/** Who is here. */
export const session = signal<Session>({ state: "unknown" });
const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

/** Whether the person may do what this role may. */
export const can = (role: Role): boolean => session.value.state === "in" && RANK[session.value.me.role] >= RANK[role];

/** What is not over: `null` until it is loaded. */
export const incidents = signal<Incident[] | null>(null);
export const jobs = signal<Job[] | null>(null);
export const operations = signal<Operation[] | null>(null);
/** Faults of the last day that were not mended and that nobody has said to have seen. */
export const troubles = signal<Incident[] | null>(null);
export const health = signal<Health | null>(null);
export const unread = signal(0);
/** The newest notification that came while this page was open. */
export const arrived = signal<Notification | null>(null);

const OPEN_INCIDENT = new Set(["working", "held", "approval"]);
export const isOpenIncident = (incident: Incident): boolean => incident.ended_at === null || OPEN_INCIDENT.has(incident.state);
const UNHEALED = new Set(["exhausted", "refused", "alert_only"]);
const TROUBLE_MS = 24 * 3_600_000;
export const isUnhealed = (incident: Incident): boolean => UNHEALED.has(incident.state);
export const isTrouble = (incident: Incident): boolean =>
  isUnhealed(incident) && !incident.acknowledged && Date.parse(incident.ended_at ?? incident.last_at) > Date.now() - TROUBLE_MS;
export const isOpenJob = (job: Job): boolean => job.state === "queued" || job.state === "processing";
export const isOpenOperation = (operation: Operation): boolean =>
  operation.state === "pending" || operation.state === "running" || operation.state === "paused";

/** The first page of what is open is enough for people; more is on the page of its own. */
const OPEN_MAX = 200;

async function load(): Promise<void> {
  const loads: Promise<unknown>[] = [
    fill(incidents, api.get<Page<Incident>>(`incidents?state=open&limit=${OPEN_MAX}`).then((page) => page.items)),
    fill(troubles, api.get<Page<Incident>>(`incidents?state=unhealed&limit=${OPEN_MAX}`).then((page) => page.items.filter(isTrouble))),
    fill(jobs, api.get<Job[] | Page<Job>>("jobs/active").then((found) => (Array.isArray(found) ? found : found.items))),
    fill(operations, api.get<Operation[]>("operations/active").then((found) => found.toReversed())),
    api.get<{ unread: number }>("notifications/unread_count").then((found) => (unread.value = found.unread)),
    api.get<Health>("system/health").then((found) => (health.value = found)),
  ];
  // What fails stays as it was; the connection's own state is told elsewhere.
  for (const one of await Promise.allSettled(loads)) if (one.status === "rejected") failed(one.reason);
}

let counting: ReturnType<typeof setTimeout> | undefined;
/** The count is the agent's to say; asked once for a burst of changes. */
function count(): void {
  clearTimeout(counting);
  counting = setTimeout(() => {
    api.get<{ unread: number }>("notifications/unread_count").then(
      (found) => (unread.value = found.unread),
      () => {},
    );
  }, 120);
}

const taken = <T>(frame: Frame, use: (item: T) => void, gone: () => void): void => {
  if (frame.data && typeof frame.data === "object") use(frame.data as T);
  else gone();
};

function listen(): void {
  live.onLoad(() => void load());
  live.on("incident", (frame) =>
    taken<Incident>(
      frame,
      (item) => {
        putInto(incidents, item, isOpenIncident(item));
        putInto(troubles, item, isTrouble(item));
      },
      () => void load(),
    ),
  );
  live.on("job", (frame) => taken<Job>(frame, (item) => putInto(jobs, item, isOpenJob(item)), () => void load()));
  live.on("operation", (frame) =>
    taken<Operation>(frame, (item) => putInto(operations, item, isOpenOperation(item)), () => void load()),
  );
  live.on("system", (frame) => {
    if (frame.type === "system_status" && frame.data) health.value = frame.data as Health;
  });
  live.on("notification", (frame) => {
    if (frame.type === "notification" && frame.data) {
      const item = frame.data as Notification;
      if (!item.read) arrived.value = item;
    }
    count();
  });
}
listen();

/** Finds out whether the person is still here, and what they may do now. */
async function check(): Promise<void> {
  try {
    const me = await api.get<Me>("auth/me");
    if (session.value.state === "in") session.value = { state: "in", me };
  } catch (error) {
    if (error instanceof api.Problem && error.status === 401) leave();
  }
}
live.onLost(() => void check());

/** Finds out who is here, and begins to listen when somebody is. */
export async function begin(): Promise<void> {
  try {
    enter(await api.get<Me>("auth/me"));
  } catch (error) {
    if (error instanceof api.Problem && error.status === 0) {
      // Not reachable: the person is told, and it is tried again.
      session.value = { state: "unknown" };
      setTimeout(() => void begin(), 1_500);
      return;
    }
    leave();
  }
}

/** Somebody is here. */
export function enter(me: Me): void {
  session.value = { state: "in", me };
  live.connect();
}

/** Nobody is here any more. */
export function leave(): void {
  session.value = { state: "none" };
  live.disconnect();
  incidents.value = troubles.value = jobs.value = operations.value = health.value = null;
  unread.value = 0;
}
api.onSessionEnd(leave);

/** How things are, in one word. */
export const mood = computed<"good" | "busy" | "bad" | "unknown">(() => {
  const now = health.value;
  if (!now || !incidents.value) return "unknown";
  if (now.status === "down") return "bad";
  const asks = incidents.value.some((one) => one.held_on === "approval");
  if (asks || now.status !== "ok" || (troubles.value?.length ?? 0) > 0) return "bad";
  return incidents.value.length > 0 ? "busy" : "good";
});
