// A list of the agent's, page by page, that follows what changes.

import { useEffect, useRef } from "preact/hooks";
import { useSignal, type Signal } from "@preact/signals";
import * as api from "./api";
import * as live from "./live";
import type { Frame, Page, Topic } from "./types";

const PAGE = 100;

/** Of each list that waits for an answer: what was told meanwhile. It may be newer than the answer. */
const meanwhile = new WeakMap<object, Map<string, () => void>>();

/** Puts the newest of a thing into a list that is loaded, or takes it out when it does not belong there. */
export function putInto<T extends { id: string }>(list: Signal<T[] | null>, item: T, belongs: boolean): void {
  meanwhile.get(list)?.set(item.id, () => putInto(list, item, belongs));
  const now = list.value;
  if (!now) return;
  const at = now.findIndex((one) => one.id === item.id);
  if (at >= 0) list.value = belongs ? now.with(at, item) : now.toSpliced(at, 1);
  else if (belongs) list.value = [item, ...now];
}

/** Fills a list with what is on its way. What is told before it comes is put into it; of several, the last one asked for counts. */
export async function fill<T extends { id: string }>(list: Signal<T[] | null>, answer: Promise<T[]>): Promise<void> {
  const told = new Map<string, () => void>();
  meanwhile.set(list, told);
  try {
    const items = await answer;
    if (meanwhile.get(list) !== told) return;
    list.value = items;
  } finally {
    if (meanwhile.get(list) === told) meanwhile.delete(list);
  }
  for (const again of told.values()) again();
}

/** What went wrong with a load, in words; what nobody answered is asked again when somebody is there. */
export function failed(error: unknown): api.Problem {
  if (!(error instanceof api.Problem)) return new api.Problem(0, "error", String(error));
  if (error.status === 0) live.owe();
  return error;
}

export interface Listed<T> {
  /** `null` until the first page is there. */
  data: Signal<T[] | null>;
  /** What went wrong, in words. */
  problem: Signal<api.Problem | null>;
  /** Whether there are older ones. */
  more: Signal<boolean>;
  /** Loads older ones; harmless when it is called too often. */
  next: () => void;
  /** Changes one by hand: what a button promises before the agent says so. */
  put: (item: T) => void;
  /** Loads anew. */
  reload: () => void;
}

export interface Wanted<T> {
  /** The topic by which changes come. */
  topic?: Topic;
  /** Whether a changed or new one belongs to what is shown. */
  has?: (item: T) => boolean;
}

/** `path` with its filters; another path is another list. */
export function useList<T extends { id: string }>(path: string, wanted: Wanted<T> = {}): Listed<T> {
  const items = useSignal<T[] | null>(null);
  const problem = useSignal<api.Problem | null>(null);
  const more = useSignal(false);
  const state = useRef({ cursor: null as string | null, busy: null as AbortController | null, has: wanted.has });
  state.current.has = wanted.has;

  const fetchPage = (first: boolean): void => {
    const { current } = state;
    if (first) current.busy?.abort();
    else if (current.busy || !more.value) return;
    const busy = new AbortController();
    current.busy = busy;
    const cursor = first ? null : current.cursor;
    const at = `${path}${path.includes("?") ? "&" : "?"}limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
    const answer = api.get<Page<T>>(at, busy.signal).then((page) => {
      busy.signal.throwIfAborted();
      current.busy = null;
      current.cursor = page.next_cursor;
      more.value = page.next_cursor !== null;
      problem.value = null;
      const known = new Set(first ? [] : items.value?.map((item) => item.id));
      return [...(first ? [] : (items.value ?? [])), ...page.items.filter((item) => !known.has(item.id))];
    });
    fill(items, answer).catch((error: unknown) => {
      if (busy.signal.aborted) return;
      current.busy = null;
      problem.value = failed(error);
    });
  };

  const put = (item: T): void => {
    putInto(items, item, state.current.has?.(item) ?? true);
  };

  useEffect(() => {
    items.value = null;
    fetchPage(true);
    const ends = [live.onLoad(() => fetchPage(true))];
    if (wanted.topic) {
      ends.push(
        live.on(wanted.topic, (frame) => {
          if (frame.data && typeof frame.data === "object" && "id" in frame.data) put(frame.data as T);
          else fetchPage(true);
        }),
      );
    }
    return () => {
      state.current.busy?.abort();
      state.current.busy = null;
      for (const end of ends) end();
    };
  }, [path]);

  return { data: items, problem, more, next: () => fetchPage(false), put, reload: () => fetchPage(true) };
}

export interface Got<T> {
  data: Signal<T | null>;
  problem: Signal<api.Problem | null>;
  reload: () => void;
  /** Changes a part of it that was told, also in an answer that is on its way. Not for lists. */
  put: (part: Partial<T>) => void;
}

/** One thing of the agent's; asked again after a gap, and whenever `reload` is called. `null`: nothing yet. */
export function useGet<T>(path: string | null): Got<T> {
  const data = useSignal<T | null>(null);
  const problem = useSignal<api.Problem | null>(null);
  const busy = useRef<AbortController | null>(null);
  const told = useRef<Partial<T> | null>(null);
  const put = (part: Partial<T>): void => {
    told.current = { ...told.current, ...part };
    if (data.value) data.value = { ...data.value, ...part };
  };
  const reload = (): void => {
    if (path === null) return;
    busy.current?.abort();
    const now = new AbortController();
    busy.current = now;
    told.current = null;
    api.get<T>(path, now.signal).then(
      (found) => {
        if (now.signal.aborted) return;
        data.value = told.current ? { ...found, ...told.current } : found;
        problem.value = null;
      },
      (error: unknown) => {
        if (now.signal.aborted) return;
        problem.value = failed(error);
      },
    );
  };
  useEffect(() => {
    data.value = null;
    problem.value = null;
    reload();
    const end = live.onLoad(reload);
    return () => {
      end();
      busy.current?.abort();
    };
  }, [path]);
  return { data, problem, reload, put };
}

/** A burst of frames is one load. */
const BURST_MS = 400;

/** Calls `reload` soon after something of a topic was told that counts. */
export function useReloadOn(topic: Topic, reload: () => void, counts: (frame: Frame) => boolean = () => true): void {
  const latest = useRef({ reload, counts });
  latest.current = { reload, counts };
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = live.on(topic, (frame) => {
      if (!latest.current.counts(frame)) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        latest.current.reload();
      }, BURST_MS);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [topic]);
}

/** Calls `reload` every so often while the page is seen. */
export function useReloadEvery(ms: number, reload: () => void): void {
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    const timer = setInterval(() => document.hidden || latest.current(), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

/** One thing by its id, which follows what is told of it by its topic. */
export function useOne<T extends object>(path: string, id: string, topic: Topic): Got<T> {
  const got = useGet<T>(`${path}/${encodeURIComponent(id)}`);
  const { put } = got;
  useEffect(() => live.on(topic, ({ data: told }) => {
    if (told && typeof told === "object" && "id" in told && told.id === id) put(told as Partial<T>);
  }), [id]);
  useReloadOn(topic, got.reload, (frame) => frame.key === id && !frame.data);
  return got;
}
