// The WebSocket: one connection, every topic, comes back by itself and misses nothing (docs/asyncapi.yaml).

import { signal } from "@preact/signals";
import type { Frame, Topic } from "./types";

/** Topics that every page lives on. `log` is asked for by the page that shows it. */
const TOPICS: Topic[] = ["job", "operation", "incident", "agent", "system", "notification", "stats"];

/** Waits before the next attempt; the first ones are quick, for a restart of the agent. */
const WAITS_MS = [150, 400, 800, 1_500];

/** A connection that does not open in this time is given up. */
const OPEN_MS = 5_000;

/** So often the agent is asked for a sign of life … */
const PING_MS = 10_000;

/** … and without one for so long the connection is dead, whatever the browser thinks. */
const DEAD_MS = 15_000;

export type State = "connecting" | "live" | "away";

/** How the connection is. */
export const state = signal<State>("connecting");

/** When the agent was heard last, by this browser's clock. */
export const heardAt = signal<number | null>(null);

/** Since when the connection is away. */
export const awaySince = signal<number | null>(null);

type Listener = (frame: Frame) => void;
const listeners = new Map<Topic, Set<Listener>>();
const loaders = new Set<() => void>();

/** Hears every frame of a topic until the answer is called. */
export function on(topic: Topic, listener: Listener): () => void {
  const set = listeners.get(topic) ?? new Set();
  listeners.set(topic, set);
  set.add(listener);
  return () => set.delete(listener);
}

/** Called whenever what is shown has to be loaded: at the first connection and after a gap. Not called by `onLoad` itself. */
export function onLoad(load: () => void): () => void {
  loaders.add(load);
  return () => loaders.delete(load);
}

const returns = new Set<() => void>();

/** Called when the connection is back after it was away, also without a gap: what passes was not told meanwhile. */
export function onBack(back: () => void): () => void {
  returns.add(back);
  return () => returns.delete(back);
}

let owed = false;

/** Something could not be loaded, for want of an answer: all is loaded at the agent's next sign of life. */
export function owe(): void {
  owed = true;
}

let doubt: () => void = () => {};

/** Called whenever a connection ended or was not to be had: the session may be over, or the role another. */
export function onLost(call: () => void): void {
  doubt = call;
}

let wanted = false;
let socket: WebSocket | null = null;
let attempts = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let pulse: ReturnType<typeof setInterval> | undefined;
let place: { epoch: string; seq: number } | null = null;
/** Frames before the answer to `resume` have numbers that are not ours yet. */
let settled = false;
let logs = 0;

const topics = (): Topic[] => (logs > 0 ? [...TOPICS, "log"] : TOPICS);

function say(frame: Record<string, unknown>): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

/** Lines of logs are told from now on, until the answer is called. */
export function wantLogs(): () => void {
  logs += 1;
  if (logs === 1) say({ type: "subscribe", topics: ["log"] });
  return () => {
    logs -= 1;
    if (logs === 0) say({ type: "unsubscribe", topics: ["log"] });
  };
}

/** Connects and stays connected. */
export function connect(): void {
  if (wanted) return;
  wanted = true;
  attempts = 0;
  open();
}

/** Ends it. */
export function disconnect(): void {
  wanted = false;
  place = null;
  clearTimeout(timer);
  clearInterval(pulse);
  socket?.close();
  socket = null;
  state.value = "connecting";
  heardAt.value = null;
  awaySince.value = null;
}

function open(): void {
  clearTimeout(timer);
  const url = new URL("/api/v1/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const fresh = new WebSocket(url, ["logmedic.v1"]);
  socket = fresh;
  settled = false;
  const late = setTimeout(() => lost(fresh), OPEN_MS);
  fresh.onopen = () => clearTimeout(late);
  fresh.onmessage = (event) => {
    if (fresh === socket && typeof event.data === "string") hear(event.data);
  };
  fresh.onclose = () => {
    clearTimeout(late);
    lost(fresh);
  };
}

function lost(gone: WebSocket): void {
  if (gone !== socket) return;
  gone.onclose = null;
  gone.close();
  socket = null;
  clearInterval(pulse);
  if (!wanted) return;
  if (state.value === "live" || awaySince.value === null) awaySince.value = Date.now();
  state.value = "away";
  doubt();
  const wait = WAITS_MS[Math.min(attempts, WAITS_MS.length - 1)] ?? 1_500;
  attempts += 1;
  // Not all pages at the same instant.
  timer = setTimeout(open, wait * (0.7 + 0.6 * Math.random()));
}

// What was away may be back: no need to wait for the next attempt.
for (const event of ["online", "focus", "pageshow"]) {
  addEventListener(event, () => {
    if (wanted && !socket) {
      attempts = 0;
      open();
    }
  });
}

function hear(text: string): void {
  let frame: Frame;
  try {
    frame = JSON.parse(text) as Frame;
  } catch {
    return;
  }
  heardAt.value = Date.now();
  switch (frame.type) {
    case "welcome":
      say(place ? { type: "resume", topics: topics(), ref: "start", ...place } : { type: "subscribe", topics: topics(), ref: "start" });
      clearInterval(pulse);
      pulse = setInterval(beat, PING_MS);
      return;
    case "ok":
      if ((frame.data as { ref?: string } | null)?.ref === "start") {
        const first = place === null;
        place = { epoch: frame.epoch, seq: frame.seq };
        settled = true;
        attempts = 0;
        const back = state.value === "away";
        state.value = "live";
        awaySince.value = null;
        if (first || owed) load();
        if (back) for (const call of [...returns]) call();
      }
      return;
    case "gap":
      place = { epoch: frame.epoch, seq: frame.seq };
      load();
      return;
    case "pong":
    case "heartbeat":
      if (owed && settled) load();
      return;
    case "error":
      return;
  }
  if (settled && place) place = { epoch: frame.epoch, seq: Math.max(frame.epoch === place.epoch ? place.seq : 0, frame.seq) };
  const set = listeners.get(frame.topic);
  if (set) for (const listener of [...set]) listener(frame);
}

function load(): void {
  owed = false;
  for (const loader of [...loaders]) loader();
}

function beat(): void {
  if (socket && heardAt.value !== null && Date.now() - heardAt.value > DEAD_MS) lost(socket);
  else say({ type: "ping" });
}
