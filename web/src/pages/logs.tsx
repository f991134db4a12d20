// The log as it is written: newest at the bottom, as `tail -f` shows it. Only the lines in sight exist.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { clock, exact, number } from "../format";
import * as live from "../live";
import { asked } from "../router";
import { can } from "../store";
import type { Incident } from "../types";
import { Button, Empty, Panel, Trouble } from "../ui/basics";
import { Filter, Seek, Source, sourcesOf } from "../ui/filters";
import { CLASSES, className, Mark, stateWord, tone } from "../ui/status";
import { words } from "../words";
import { Book, levelOf, LEVELS, LINES_MAX, stampOf, type Line, type Sieve } from "./logs/book";
import "./logs.css";

const w = words({
  title: ["Log", "Registro"],
  allLines: ["All lines", "Todas las líneas"],
  anyKind: ["Any fault", "Cualquier fallo"],
  worse: [(level: string) => `${level} or worse`, (level: string) => `${level} o peor`],
  fresh: [(count: string) => `${count} new lines`, (count: string) => `${count} líneas nuevas`],
  missing: ["… lines may be missing here: logmedic was away, or they came faster than they could be sent", "… aquí pueden faltar líneas: logmedic no estaba, o llegaron más deprisa de lo que se podían enviar"],
  none: ["Waiting for lines", "A la espera de líneas"],
  noneMore: ["They appear as they are written.", "Aparecen a medida que se escriben."],
});

const HIGH = 22;
/** Lines kept above and below what is seen. */
const SPARE = 20;
/** Older lines are asked for when so many are left above. */
const NEAR_TOP = 60;
const PAGE = 500;
/** A screen reader reads along when no more than so many lines come in a second. */
const READ_ALONG = 3;
/** Pages that are asked for at once, when what is looked for is rare. */
const PAGES_MAX = 40;
/** Incidents whose first line is looked for, and how far back. */
const KNOWN_MAX = 200;
/** What of a line is drawn: no window is wider. */
const DRAWN = 600;

type Told = Partial<Line> & { text: string };
interface Past {
  /** Newest first. */
  items: Told[];
  next: string | null;
  sources: { name: string }[];
}
const line = (of: Told, at: string): Line => ({
  n: 0, at: of.at ?? at, source: of.source ?? "", text: of.text, level: of.level ?? levelOf(of.text),
  class: of.class ?? null, rule: of.rule ?? null, incident: of.incident ?? null,
});

export default function Page(): JSX.Element {
  if (!can("operator")) return <div class="page"><Panel><Trouble problem={new api.Problem(403, "forbidden", "")} /></Panel></div>;
  return <Log />;
}

function Log(): JSX.Element {
  const filter: Sieve = { source: asked("source"), level: asked("level"), class: asked("class"), q: asked("q") };
  const book = useMemo(() => new Book(), []);
  const box = useRef<HTMLDivElement>(null);
  const turn = useSignal(0);
  const paused = useSignal(false);
  const following = useSignal(true);
  const fresh = useSignal(0);
  const slow = useSignal(true);
  const chosen = useSignal<Line | null>(null);
  const my = useRef({ waiting: [] as Line[], frame: 0, top: 0, moved: false, older: "" as string | null, kept: false, heard: false, pages: 0, known: new Map<string, Incident>(), load: null as AbortController | null, second: 0, count: 0, filter }).current;
  my.filter = filter;
  turn.value;

  /** Moves what is seen along with lines that came or went above it. */
  const shift = (lines: number): void => {
    if (following.peek() || lines === 0) return;
    my.top = Math.max(0, my.top + lines * HIGH);
    my.moved = true;
  };
  /** Draws what came since the last frame, all at once. */
  const draw = (): void => {
    my.frame = 0;
    if (!paused.peek() && my.waiting.length > 0) {
      const { came, went } = book.add(my.waiting);
      my.waiting = [];
      if (!following.peek()) fresh.value += came;
      shift(-went);
    }
    turn.value += 1;
  };
  const soon = (): void => {
    my.frame ||= requestAnimationFrame(draw);
  };
  /** Finds out which incident a line told first. */
  const recognise = (one: Line): Line => {
    const incident = one.incident ? undefined : my.known.get(one.text);
    if (incident) [one.class, one.rule, one.incident] = [incident.class, incident.rule, incident.id];
    return one;
  };
  const remember = (incident: Incident): void => {
    my.known.set(incident.text, incident);
    if (my.known.size > KNOWN_MAX) my.known.delete(my.known.keys().next().value ?? "");
  };
  /** The page before `before`. Of all sources together it is the newest of each, and no more: whoever wants more chooses one. */
  const past = async (before: string, signal: AbortSignal): Promise<Past> => {
    const { filter } = my;
    const page = await api.get<Past>(api.query("logs", { ...filter, before, limit: PAGE }), signal);
    if (filter.source || page.sources.length < 2) return page;
    const others = page.sources.slice(1).map(({ name }) => api.get<Past>(api.query("logs", { ...filter, source: name, limit: PAGE }), signal));
    const items = [page, ...(await Promise.all(others))].flatMap((one) => one.items);
    return { ...page, items: items.sort((a, b) => Date.parse(b.at ?? "") - Date.parse(a.at ?? "") || 0), next: null };
  };
  const older = (): void => {
    if (my.load || my.older === null || !book.hasRoom) return;
    const load = new AbortController();
    my.load = load;
    const newest = my.older === "";
    past(my.older, load.signal).then(
      (page) => {
        if (load.signal.aborted) return;
        my.load = null;
        my.older = page.next;
        my.kept = true;
        shift(book.addOlder(page.items.map((one) => recognise(line(one, ""))).reverse(), newest));
        turn.value += 1;
        if (book.seen.length < NEAR_TOP && ++my.pages < PAGES_MAX) older();
      },
      (error: unknown) => {
        if (load.signal.aborted) return;
        my.load = null;
        // An agent that keeps no lines, or the file is another by now: those that come from now on are shown.
        if (error instanceof api.Problem && [404, 409, 410].includes(error.status)) my.older = null;
      },
    );
  };

  /** Begins with what is there now. An agent that keeps lines looks through all of them; else the filter goes through what is here. */
  const restart = (): void => {
    my.load?.abort();
    my.load = null;
    if (my.kept) {
      book.clear();
      my.older = "";
      my.pages = 0;
    }
    book.sift(my.filter);
    following.value = true;
    fresh.value = 0;
    older();
    turn.value += 1;
  };

  useEffect(() => {
    /** Lines are told once: those that came meanwhile are looked up. Who reads further up keeps their place. */
    const missed = (): void => {
      if (following.value && !paused.value && (my.kept || my.older === "")) restart();
      else my.waiting.push(line({ text: w.missing }, new Date().toISOString()));
      soon();
    };
    const look = (): void => {
      for (const one of [...book.all.slice(-PAGE), ...my.waiting]) recognise(one);
      soon();
    };
    api.get<{ items: Incident[] }>(`incidents?limit=${KNOWN_MAX}`).then(
      (page) => {
        for (const incident of page.items.reverse()) remember(incident);
        look();
      },
      () => {},
    );
    const ends = [
      live.wantLogs(),
      live.on("log", (frame) => {
        const told = frame.data as Told | null;
        if (typeof told?.text !== "string") return;
        my.heard = true;
        my.waiting.push(recognise(line(told, frame.at)));
        if (my.waiting.length > LINES_MAX) my.waiting.splice(0, PAGE);
        my.count += 1;
        const second = Math.floor(performance.now() / 1_000);
        if (second !== my.second) {
          slow.value = my.count <= READ_ALONG;
          [my.second, my.count] = [second, 0];
        }
        soon();
      }),
      live.on("incident", (frame) => {
        const incident = frame.data as Incident | null;
        if (!incident || my.known.has(incident.text)) return;
        remember(incident);
        look();
      }),
      live.onLoad(() => {
        if (my.heard && live.state.value === "live") missed();
      }),
      live.onBack(missed),
    ];
    return () => {
      cancelAnimationFrame(my.frame);
      my.load?.abort();
      for (const end of ends) end();
    };
  }, []);

  useEffect(restart, [filter.source, filter.level, filter.class, filter.q]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (following.value) element.scrollTop = element.scrollHeight;
    else if (my.moved) element.scrollTop = my.top;
    my.moved = false;
  });

  const scrolled = (): void => {
    const element = box.current;
    if (!element) return;
    const before = Math.floor(my.top / HIGH);
    my.top = element.scrollTop;
    const atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - HIGH;
    if (atEnd !== following.value) {
      following.value = atEnd;
      fresh.value = 0;
    }
    if (Math.floor(my.top / HIGH) !== before) turn.value += 1;
    if (my.top < NEAR_TOP * HIGH) older();
  };
  const choose = (step: number): void => {
    const at = chosen.value ? book.seen.indexOf(chosen.value) : Math.ceil((my.top + (box.current?.clientHeight ?? 0)) / HIGH) - 1;
    const to = Math.max(0, Math.min(book.seen.length - 1, at + step));
    chosen.value = book.seen[to] ?? null;
    const element = box.current;
    if (!element) return;
    if (to * HIGH < element.scrollTop) element.scrollTop = to * HIGH;
    else if ((to + 1) * HIGH > element.scrollTop + element.clientHeight) element.scrollTop = (to + 1) * HIGH - element.clientHeight;
  };

  const count = Math.ceil((box.current?.clientHeight ?? innerHeight) / HIGH) + 2 * SPARE;
  const first = following.value ? Math.max(0, book.seen.length - count) : Math.max(0, Math.floor(my.top / HIGH) - SPARE);
  const sources = sourcesOf(book.all.slice(-1_000));
  const filtered = Boolean(filter.source || filter.level || filter.class || filter.q);
  return (
    <div class="page logs">
      <div class="toolbar">
        <Seek />
        <Filter name="class" label={c.kind} any={w.allLines} of={["any", ...CLASSES]} word={(kind) => (kind === "any" ? w.anyKind : className(kind))} />
        <Filter name="level" label={c.level} of={LEVELS.slice(0, 3)} word={(level) => (level === "error" ? stateWord(level) : w.worse(stateWord(level)))} />
        <Source of={sources} />
        <Button act={() => {
          paused.value = !paused.value;
          draw();
        }} icon={paused.value ? "play" : "pause"} small>{paused.value ? `${c.resume} · ${w.fresh(number(my.waiting.length))}` : c.pause}</Button>
        <span class="soft small-text">{c.lines(number(book.seen.length))}</span>
      </div>
      <Panel flush class="log-frame">
        {/* A few lines at a time are read aloud as they come; many would drown everything else. */}
        <div
          class="log" ref={box} role="log" aria-label={w.title} tabIndex={0} onScroll={scrolled}
          aria-live={following.value && slow.value && !paused.value ? "polite" : "off"}
          onKeyDown={(event) => {
            if (event.key === "Escape") chosen.value = null;
            else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
              event.preventDefault();
              choose(event.key === "ArrowUp" ? -1 : 1);
            }
          }}
        >
          {book.seen.length === 0 && <Empty icon="logs" title={filtered ? c.noMatch : w.none}>{w.noneMore}</Empty>}
          <div style={{ height: `${book.seen.length * HIGH}px` }} />
          {book.seen.slice(first, first + count).map((one, at) => (
            <div
              key={one.n} class={one === chosen.value ? "log-line chosen" : "log-line"}
              style={{ transform: `translateY(${(first + at) * HIGH}px)` }}
              onClick={() => (chosen.value = one === chosen.value ? null : one)}
            >
              <time>{(one.clock ??= one.at && clock(one.at))}</time>
              {sources.length > 1 && <span class="soft cut-off">{one.source}</span>}
              {one.class && (one.incident
                ? <a class="chip" href={`/incidents/${one.incident}`} tabIndex={-1}><Mark tone="bad" size={11} />{className(one.class)}</a>
                : <span class="chip"><Mark tone="bad" size={11} />{className(one.class)}</span>)}
              <span class={`cut-off ${one.level && one.level !== "info" ? `tone-${tone(one.level)}` : ""}`}>
                <span class="stamp">{one.text.slice(0, (one.stamp ??= stampOf(one.text)))}</span>{one.text.slice(one.stamp, DRAWN)}
              </span>
            </div>
          ))}
        </div>
        {!following.value && fresh.value > 0 && (
          <div class="log-new"><Button kind="main" small icon="down" act={() => (following.value = true)}>{w.fresh(number(fresh.value))}</Button></div>
        )}
        {chosen.value && <Chosen one={chosen.value} close={() => (chosen.value = null)} />}
      </Panel>
    </div>
  );
}

/** One line, whole. */
function Chosen({ one, close }: { one: Line; close: () => void }): JSX.Element {
  return (
    <div class="log-whole" aria-live="polite">
      <div class="row spread">
        <span class="soft">{one.at && exact(one.at)} · {one.source}</span>
        <Button act={close} icon="cross" label={c.close} kind="quiet" small />
      </div>
      <pre class="code">{one.text}</pre>
      {one.class && (
        <p class="row wraps">
          {className(one.class)}
          {one.incident && <a class="link" href={`/incidents/${one.incident}`}>{c.incident}</a>}
          {one.rule && <a class="link" href={`/rules?q=${encodeURIComponent(one.rule)}`}>{c.rule} {one.rule}</a>}
        </p>
      )}
    </div>
  );
}
