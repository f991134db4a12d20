// Rules: by what errors are recognised; what they say of a line; errors that none of them knows.

import type { JSX } from "preact";
import { signal, useComputed, useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { number } from "../format";
import { useGet } from "../list";
import { ask, asked } from "../router";
import type { Page } from "../types";
import { Button, complain, Empty, Facts, Loaded, Panel, Select, Time } from "../ui/basics";
import { Dialog } from "../ui/dialog";
import { Filter, NoMatch, Pick, Seek } from "../ui/filters";
import { Rows } from "../ui/rows";
import { className, StateOf, Status } from "../ui/status";
import { THING_HIGH } from "../ui/things";
import { words } from "../words";
import "./rules.css";

const w = words({
  try: ["Try a line", "Probar una línea"],
  unknown: ["Unknown errors", "Errores desconocidos"],
  pack: ["Pack", "Paquete"],
  ignore: ["ignored", "se ignora"],
  signal: ["signal", "señal"],
  slow: ["slow", "lenta"],
  slowMore: ["slow: it is asked about every event, because it names no fixed text", "lenta: se pregunta en cada evento, porque no nombra ningún texto fijo"],
  yours: ["yours", "suya"],
  hit: [(count: string) => `${count} hits`, (count: string) => `${count} aciertos`],
  pattern: ["Pattern", "Patrón"],
  sources: ["Used for", "Se usa en"],
  severity: ["Severity", "Gravedad"],
  hits: ["Hits", "Aciertos"],
  last: ["Last hit", "Último acierto"],
  line: ["A line of a log, or a whole error", "Una línea de un registro, o un error entero"],
  explain: ["What is it?", "¿Qué es?"],
  of: ["Ask the rules of", "Preguntar a las reglas de"],
  would: [
    (what: string) => `This would be an incident: ${what}.`,
    (what: string) => `Sería una incidencia: ${what}.`,
  ],
  wouldIgnore: ["It would be ignored.", "Se ignoraría."],
  wouldCount: ["No rule knows it. It reads like an error and would be counted as unknown.", "Ninguna regla lo conoce. Parece un error y se contaría como desconocido."],
  wouldNothing: ["Nothing would happen: no rule knows it, and it does not read like an error.", "No pasaría nada: ninguna regla lo conoce y no parece un error."],
  claims: ["Rules that match, in their order", "Reglas que coinciden, en su orden"],
  wins: ["wins", "gana"],
  not: ["does not count", "no cuenta"],
  later: ["asked later", "se pregunta después"],
  allKnown: ["Every error so far is known to a rule", "Hasta ahora, cada error lo conoce una regla"],
  allKnownMore: ["What none knows is collected here: what a new rule would be good for.", "Lo que ninguna conoce se reúne aquí: para lo que serviría una regla nueva."],
  template: ["What they share", "Lo que comparten"],
  latest: ["The latest", "El más reciente"],
  tryThis: ["Try it", "Probarlo"],
});

interface Rule {
  id: string;
  kind: "rule" | "ignore" | "signal";
  pack: string;
  user: boolean;
  class: string | null;
  severity: string | null;
  pattern: string;
  about: string;
  slow: boolean;
  sources: string[];
  /** Older agents do not count. */
  hits?: number;
  last_hit?: string | null;
}

interface Unknown {
  source: string;
  shape: string;
  text: string;
  count: number;
  last_at: string;
}

interface Explanation {
  class: string | null;
  rule: string | null;
  looks_like_error: boolean;
  claims: { rule: string; class: string | null; captures: Record<string, string>; wins: boolean; reason: string | null; about: string }[];
}

/** The line that is tried outlives a look at another view. */
const line = signal("");

/** What a rule makes of a line, in a word. */
const kindWord = (kind: string): string => (kind === "ignore" || kind === "signal" ? w[kind] : className(kind));
const makes = ({ kind, class: of }: Rule): string => kindWord(of ?? kind);

export default function Rules(): JSX.Element {
  const rules = useGet<Page<Rule>>("rules");
  const unknown = useGet<Page<Unknown>>("rules/suggestions");
  const view = asked("view");
  const count = unknown.data.value?.items.length ?? 0;
  const all = rules.data.value?.items;
  const one = all?.find(({ id }) => id === asked("rule"));
  return (
    <div class="page">
      <div class="toolbar">
        <Pick name="view" of={[["", c.rules], ["try", w.try], ["unknown", count ? `${w.unknown} (${count})` : w.unknown]]} />
      </div>
      {view === "try" ? (
        <Try sources={[...new Set(all?.flatMap((rule) => rule.sources))]} />
      ) : view === "unknown" ? (
        <Panel flush><Loaded of={unknown} rows={8}>{({ items }) => <UnknownErrors list={items} />}</Loaded></Panel>
      ) : all ? (
        <List all={all} />
      ) : (
        <Panel><Loaded of={rules} rows={20}>{() => null}</Loaded></Panel>
      )}
      {one && <Dialog title={one.id} close={() => ask({ rule: null })} side><One of={one} /></Dialog>}
    </div>
  );
}

function List({ all }: { all: Rule[] }): JSX.Element {
  const [q, pack, of] = [asked("q").toLowerCase(), asked("pack"), asked("class")];
  const packs = useComputed(() => [...new Set(all.map((rule) => rule.pack))].sort());
  const classes = useComputed(() => [...new Set(all.flatMap((rule) => rule.class ?? []))].sort());
  const shown = all.filter((rule) =>
    (!pack || rule.pack === pack) && (!of || (rule.class ?? rule.kind) === of) && (!q || `${rule.id}\n${rule.about}\n${rule.pattern}`.toLowerCase().includes(q)));
  return (
    <>
      <div class="toolbar">
        <Seek />
        <Filter name="class" label={c.kind} of={[...classes.value, "ignore", "signal"]} word={kindWord} />
        <Filter name="pack" label={w.pack} of={packs.value} />
        <span class="soft small-text" role="status">{c.of(number(shown.length), number(all.length))}</span>
      </div>
      <Panel flush>
        {shown.length === 0 ? <NoMatch /> : <Rows items={shown} height={THING_HIGH} label={c.rules} row={(rule) => <Line of={rule} />} />}
      </Panel>
    </>
  );
}

function Line({ of }: { of: Rule }): JSX.Element {
  return (
    <button type="button" class="thing" onClick={() => ask({ rule: of.id })}>
      <span class="status soft">{makes(of)}</span>
      <span class="name">
        <b class="cut-off">{of.id}</b>
        {of.user && <span class="chip">{w.yours}</span>}
        {of.slow && <span class="chip warn-text" title={w.slowMore}>{w.slow}</span>}
      </span>
      <span class="doing cut-off">{of.about}</span>
      {of.hits !== undefined && <span class="end"><span>{w.hit(number(of.hits))}</span><Time at={of.last_hit} /></span>}
    </button>
  );
}

function One({ of }: { of: Rule }): JSX.Element {
  return (
    <div class="stack side-text">
      {of.about && <p class="wrap">{of.about}</p>}
      <Facts of={[
        [c.kind, makes(of)],
        [w.pack, <>{of.pack}{of.user && ` · ${w.yours}`}</>],
        [w.sources, of.sources.join(", ")],
        of.severity && [w.severity, <StateOf state={of.severity} />],
        of.hits !== undefined && [w.hits, number(of.hits)],
        of.hits !== undefined && [w.last, <Time at={of.last_hit} />],
      ]} />
      {of.slow && <p class="warn-text">{w.slowMore}</p>}
      <section class="stack tight"><h2>{w.pattern}</h2><code class="code">{of.pattern}</code></section>
    </div>
  );
}

function Try({ sources }: { sources: string[] }): JSX.Element {
  const found = useSignal<Explanation | null>(null);
  const source = useSignal("");
  const explain = async (): Promise<void> => {
    if (!line.value.trim()) return;
    found.value = await api.post<Explanation>("rules/explain", { text: line.value, ...(source.value && { source: source.value }) });
  };
  return (
    <>
      <Panel>
        <div class="stack tight">
          <label class="field">
            <span>{w.line}</span>
            <textarea
              rows={4}
              maxLength={16_000}
              spellcheck={false}
              value={line.value}
              onInput={(event) => (line.value = event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) explain().catch(complain);
              }}
            />
          </label>
          <div class="actions">
            {sources.length > 1 && <Select label={w.of} value={source.value || sources[0]!} pick={(value) => (source.value = value)} of={sources.map((one) => [one, one] as const)} />}
            <Button act={explain} kind="main" icon="search">{w.explain}</Button>
          </div>
        </div>
      </Panel>
      <div role="status">{found.value && <Answer of={found.value} />}</div>
    </>
  );
}

function Answer({ of }: { of: Explanation }): JSX.Element {
  const verdict = of.class ? w.would(className(of.class)) : of.rule ? w.wouldIgnore : of.looks_like_error ? w.wouldCount : w.wouldNothing;
  return (
    <Panel flush title={verdict}>
      {of.claims.length > 0 && (
        <ol class="entries" aria-label={w.claims}>
          {of.claims.map((claim, place) => (
            <li key={place} class="stack tight">
              <p class="row wraps">
                <Status tone={claim.wins ? "good" : "quiet"}>{claim.wins ? w.wins : claim.reason === "it is asked later" ? w.later : (claim.reason ?? w.not)}</Status>
                <a class="link wrap" href={`/rules?view=try&rule=${encodeURIComponent(claim.rule)}`}>{claim.rule}</a>
                <span class="soft">{kindWord(claim.class ?? "ignore")}</span>
              </p>
              <p class="soft wrap">{claim.about}</p>
              {Object.keys(claim.captures).length > 0 && (
                <Facts of={Object.entries(claim.captures).map(([name, value]) => [name, <span class="mono">{value}</span>])} />
              )}
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function UnknownErrors({ list }: { list: Unknown[] }): JSX.Element {
  if (list.length === 0) return <Empty icon="check" title={w.allKnown}>{w.allKnownMore}</Empty>;
  const attempt = (text: string): void => {
    line.value = text;
    ask({ view: "try" });
  };
  return (
    <ul class="entries">
      {list.map((one) => (
        <li key={`${one.source} ${one.shape}`} class="stack tight">
          <p class="row spread">
            <span class="row"><b>{number(one.count)} ×</b><span class="chip">{one.source}</span></span>
            <span class="row soft small-text"><Time at={one.last_at} /><Button act={() => attempt(one.text)} small kind="quiet">{w.tryThis}</Button></span>
          </p>
          <p class="code clamp" title={w.template}>{one.shape}</p>
          <p class="code soft clamp" title={w.latest}>{one.text}</p>
        </li>
      ))}
    </ul>
  );
}
