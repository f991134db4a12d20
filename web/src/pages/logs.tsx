// The log as it is written: newest at the bottom, as `tail -f` shows it. Only the lines in sight exist.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { clock, exact, number } from "../format";
import * as live from "../live";
import { ask, here } from "../router";
import { can } from "../store";
import type { Incident } from "../types";
import { Button, Empty, Panel, Search, Select, Trouble } from "../ui/basics";
import { CLASSES, className, Mark, stateWord } from "../ui/status";
import { words } from "../words";
import { choices, sourcesOf } from "./filters";
import { Book, levelOf, LINES_MAX, type Filter, type Line } from "./logs/book";
import "./logs.css";

const w = words({
  title: ["Log", "Registro"],
  search: ["Search the lines", "Buscar en las líneas"],
  level: ["Level", "Nivel"],
  anyLevel: ["Any level", "Cualquier nivel"],
  kind: ["Kind", "Tipo"],
  anyKind: ["Any kind", "Cualquier tipo"],
  source: ["Source", "Origen"],
  anySource: ["Any source", "Cualquier origen"],
  pause: ["Pause", "Pausar"],
  resume: ["Resume", "Continuar"],
  lines: [(count: string) => `${count} lines`, (count: string) => `${count} líneas`],
  fresh: [(count: string) => `${count} new lines`, (count: string) => `${count} líneas nuevas`],
  missing: ["… some lines are missing here: they came faster than they could be sent", "… aquí faltan líneas: llegaron más deprisa de lo que se podían enviar"],
  none: ["Waiting for lines", "A la espera de líneas"],
  noneMore: ["They appear as they are written.", "Aparecen a medida que se escriben."],
  noMatch: ["No line matches so far", "Ninguna línea coincide por ahora"],
  close: ["Close", "Cerrar"],
  incident: ["Its incident", "Su incidencia"],
  rule: ["Rule", "Regla"],
});

const LEVELS = ["critical", "error", "warning", "info", "debug"];
const HIGH = 22;
/** Lines kept above and below what is seen. */
const SPARE = 20;
/** Older lines are asked for when so many are left above. */
const NEAR_TOP = 60;
const PAGE = 500;
/** A screen reader reads along when no more than so many lines come in a second. */
const READ_ALONG = 3;
/** Incidents whose first line is looked for, and how far back. */
const KNOWN_MAX = 200;
/** What of a line is drawn: no window is wider. */
const DRAWN = 600;

type Told = Partial<Line> & { text: string };
const line = (of: Told, at: string): Line => ({
  n: 0, at: of.at ?? at, source: of.source ?? "", text: of.text, level: of.level ?? levelOf(of.text),
  class: of.class ?? null, rule: of.rule ?? null, incident: of.incident ?? null, cursor: of.cursor ?? null,
});

export default function Page(): JSX.Element {
  if (!can("operator")) return <div class="page"><Panel><Trouble problem={new api.Problem(403, "forbidden", "")} /></Panel></div>;
  return <Log />;
}

function Log(): JSX.Element {
  const asked = (name: string): string => here.value.query.get(name) ?? "";
  const filter: Filter = { source: asked("source"), level: asked("level"), class: asked("class"), q: asked("q") };
  const book = useMemo(() => new Book(), []);
  const box = useRef<HTMLDivElement>(null);
  const turn = useSignal(0);
  const paused = useSignal(false);
  const following = useSignal(true);
  const fresh = useSignal(0);
  const slow = useSignal(true);
  const chosen = useSignal<Line | null>(null);
  const my = useRef({ waiting: [] as Line[], frame: 0, top: 0, moved: false, older: "" as string | null, kept: false, heard: false, load: null as AbortController | null, second: 0, count: 0, filter }).current;
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
  const older = (): void => {
    if (my.load || my.older === null || !book.hasRoom) return;
    const load = new AbortController();
    my.load = load;
    api.get<{ items: Told[]; next: string | null }>(api.query("logs", { ...my.filter, before: my.older, limit: PAGE }), load.signal).then(
      (page) => {
        if (load.signal.aborted) return;
        my.load = null;
        my.older = page.next;
        my.kept = true;
        shift(book.addOlder(page.items.map((one) => line(one, "")).reverse()));
        turn.value += 1;
      },
      (error: unknown) => {
        if (load.signal.aborted) return;
        my.load = null;
        // An agent that keeps no lines: those that come from now on are shown.
        if (error instanceof api.Problem && error.status === 404) my.older = null;
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
    }
    book.sift(my.filter);
    following.value = true;
    fresh.value = 0;
    older();
    turn.value += 1;
  };

  useEffect(() => {
    const known = new Map<string, Incident>();
    const recognise = (one: Line): void => {
      const incident = known.get(one.text);
      if (incident) [one.class, one.rule, one.incident] = [incident.class, incident.rule, incident.id];
    };
    const ends = [
      live.wantLogs(),
      live.on("log", (frame) => {
        const told = frame.data as Told | null;
        if (typeof told?.text !== "string") return;
        const one = line(told, frame.at);
        if (!one.incident) recognise(one);
        my.heard = true;
        my.waiting.push(one);
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
        if (!incident || known.has(incident.text)) return;
        known.set(incident.text, incident);
        if (known.size > KNOWN_MAX) known.delete(known.keys().next().value ?? "");
        for (const one of [...book.all.slice(-KNOWN_MAX), ...my.waiting]) if (!one.incident) recognise(one);
        soon();
      }),
      live.onLoad(() => {
        if (!my.heard) return;
        // Lines were missed. Who reads further up keeps their place.
        if (my.kept && following.value && !paused.value) restart();
        else my.waiting.push(line({ text: w.missing }, new Date().toISOString()));
        soon();
      }),
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
  const sources = sourcesOf(book.all.slice(-1_000), filter.source);
  const filtered = Boolean(filter.source || filter.level || filter.class || filter.q);
  return (
    <div class="page logs">
      <div class="toolbar">
        <Search label={w.search} value={filter.q} seek={(text) => ask({ q: text })} />
        <Select label={w.level} value={filter.level} of={choices(LEVELS, w.anyLevel, stateWord)} pick={(value) => ask({ level: value })} />
        <Select label={w.kind} value={filter.class} of={choices(CLASSES, w.anyKind, className)} pick={(value) => ask({ class: value })} />
        {sources.length > 1 && <Select label={w.source} value={filter.source} of={choices(sources, w.anySource)} pick={(value) => ask({ source: value })} />}
        <Button act={() => {
          paused.value = !paused.value;
          draw();
        }} icon={paused.value ? "play" : "pause"} small>{paused.value ? `${w.resume} · ${w.fresh(number(my.waiting.length))}` : w.pause}</Button>
        <span class="soft small-text">{w.lines(number(book.seen.length))}</span>
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
          {book.seen.length === 0 && <Empty icon="logs" title={filtered ? w.noMatch : w.none}>{w.noneMore}</Empty>}
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
              <span class={`cut-off level-${one.level ?? ""}`}>{one.text.slice(0, DRAWN)}</span>
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
        <Button act={close} icon="cross" label={w.close} kind="quiet" small />
      </div>
      <pre class="code">{one.text}</pre>
      {one.class && (
        <p class="row wraps">
          {className(one.class)}
          {one.incident && <a class="link" href={`/incidents/${one.incident}`}>{w.incident}</a>}
          {one.rule && <a class="link" href={`/rules?q=${encodeURIComponent(one.rule)}`}>{w.rule} {one.rule}</a>}
        </p>
      )}
    </div>
  );
}
