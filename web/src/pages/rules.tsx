// Rules: by what errors are recognised; what they say of a line; errors that none of them knows.

import type { ComponentChildren, JSX } from "preact";
import { signal, useComputed, useSignal } from "@preact/signals";
import * as api from "../api";
import { number } from "../format";
import { useGet } from "../list";
import { ask, here } from "../router";
import type { Page } from "../types";
import { Button, Choice, complain, Empty, Facts, Loading, Panel, Search, Select, Time, Trouble } from "../ui/basics";
import { Dialog } from "../ui/dialog";
import { Rows } from "../ui/rows";
import { className, stateWord, Status, tone } from "../ui/status";
import { words } from "../words";
import "./rules.css";

const w = words({
  view: ["What is shown", "Qué se muestra"],
  rules: ["Rules", "Reglas"],
  try: ["Try a line", "Probar una línea"],
  unknown: ["Unknown errors", "Errores desconocidos"],
  search: ["Search rules", "Buscar reglas"],
  pack: ["Pack", "Paquete"],
  anyPack: ["Every pack", "Todos los paquetes"],
  class: ["Class", "Clase"],
  anyClass: ["Every class", "Todas las clases"],
  ignore: ["ignored", "ignorado"],
  signal: ["signal", "señal"],
  count: [(shown: string, all: string) => `${shown} of ${all}`, (shown: string, all: string) => `${shown} de ${all}`],
  none: ["No rule like this", "Ninguna regla así"],
  slow: ["slow", "lenta"],
  slowMore: ["slow: it is asked about every event, because it names no fixed text", "lenta: se pregunta en cada evento, porque no nombra ningún texto fijo"],
  yours: ["yours", "suya"],
  hits: [(count: string) => `${count} hits`, (count: string) => `${count} aciertos`],
  pattern: ["Pattern", "Patrón"],
  sources: ["Asked for", "Se usa en"],
  severity: ["Severity", "Gravedad"],
  found: ["Hits", "Aciertos"],
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
  times: [(count: string) => `${count} ×`, (count: string) => `${count} ×`],
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

type View = "" | "try" | "unknown";

/** The line that is tried outlives a look at another view. */
const line = signal("");

/** What a rule makes of a line, in a word. */
const makes = ({ kind, class: of }: Pick<Rule, "kind" | "class">): string => (of ? className(of) : kind === "ignore" ? w.ignore : w.signal);

export default function Rules(): JSX.Element {
  const rules = useGet<Page<Rule>>("rules");
  const unknown = useGet<Page<Unknown>>("rules/suggestions");
  const { query } = here.value;
  const view = (query.get("view") ?? "") as View;
  const count = unknown.data.value?.items.length ?? 0;
  const all = rules.data.value?.items;
  const wanted = query.get("rule");
  const one = wanted && all?.find(({ id }) => id === wanted);
  return (
    <div class="page">
      <div class="toolbar">
        <Choice<View> label={w.view} value={view} pick={(value) => ask({ view: value })} of={[["", w.rules], ["try", w.try], ["unknown", count ? `${w.unknown} (${count})` : w.unknown]]} />
      </div>
      {view === "try" ? (
        <Try sources={[...new Set(all?.flatMap((rule) => rule.sources))]} />
      ) : view === "unknown" ? (
        <UnknownErrors list={unknown.data.value?.items} />
      ) : all ? (
        <List all={all} />
      ) : (
        <Panel>{rules.problem.value ? <Trouble problem={rules.problem.value} again={rules.reload} /> : <Loading rows={20} />}</Panel>
      )}
      {one && <Dialog title={one.id} close={() => ask({ rule: null })} side><One of={one} /></Dialog>}
    </div>
  );
}

function List({ all }: { all: Rule[] }): JSX.Element {
  const { query } = here.value;
  const q = query.get("q") ?? "";
  const pack = query.get("pack") ?? "";
  const of = query.get("class") ?? "";
  const packs = useComputed(() => [...new Set(all.map((rule) => rule.pack))].sort());
  const classes = useComputed(() => [...new Set(all.flatMap((rule) => rule.class ?? []))].sort());
  const shown = all.filter((rule) =>
    (!pack || rule.pack === pack) && (!of || (rule.class ?? rule.kind) === of) && (!q || `${rule.id}\n${rule.about}\n${rule.pattern}`.toLowerCase().includes(q.toLowerCase())));
  return (
    <>
      <div class="toolbar">
        <Search label={w.search} value={q} seek={(text) => ask({ q: text })} />
        <Select label={w.class} value={of} pick={(value) => ask({ class: value })} of={[["", w.anyClass], ...classes.value.map((one) => [one, className(one)] as const), ["ignore", w.ignore], ["signal", w.signal]]} />
        <Select label={w.pack} value={pack} pick={(value) => ask({ pack: value })} of={[["", w.anyPack], ...packs.value.map((one) => [one, one] as const)]} />
        <span class="soft small-text" role="status">{w.count(number(shown.length), number(all.length))}</span>
      </div>
      <Panel flush>
        {shown.length === 0 ? <Empty icon="rules" title={w.none} /> : <Rows items={shown} height={60} label={w.rules} row={(rule) => <Line of={rule} />} />}
      </Panel>
    </>
  );
}

function Line({ of }: { of: Rule }): JSX.Element {
  return (
    <button type="button" class="line rule" onClick={() => ask({ rule: of.id })}>
      <span class="two">
        <span class="first">
          <span class="cut-off">{of.id}</span>
          {of.user && <span class="chip">{w.yours}</span>}
          {of.slow && <span class="chip warn-text" title={w.slowMore}>{w.slow}</span>}
        </span>
        <span class="second">{of.about}</span>
      </span>
      <span class="end">
        <span>{makes(of)}</span>
        {of.hits !== undefined && <span title={of.last_hit ?? undefined}>{w.hits(number(of.hits))}</span>}
      </span>
    </button>
  );
}

function One({ of }: { of: Rule }): JSX.Element {
  const rows: [string, ComponentChildren][] = [
    [w.class, makes(of)],
    [w.pack, <>{of.pack}{of.user && ` · ${w.yours}`}</>],
    [w.sources, of.sources.join(", ")],
  ];
  if (of.severity) rows.push([w.severity, <Status tone={tone(of.severity)}>{stateWord(of.severity)}</Status>]);
  if (of.hits !== undefined) rows.push([w.found, number(of.hits)], [w.last, <Time at={of.last_hit} />]);
  return (
    <div class="stack side-text">
      {of.about && <p class="wrap">{of.about}</p>}
      <Facts of={rows} />
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
        <ol class="claims" aria-label={w.claims}>
          {of.claims.map((claim, place) => (
            <li key={place}>
              <p class="row wraps">
                <Status tone={claim.wins ? "good" : "quiet"}>{claim.wins ? w.wins : claim.reason === "it is asked later" ? w.later : (claim.reason ?? w.not)}</Status>
                <a class="link wrap" href={`/rules?view=try&rule=${encodeURIComponent(claim.rule)}`}>{claim.rule}</a>
                <span class="soft">{claim.class ? className(claim.class) : w.ignore}</span>
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

function UnknownErrors({ list }: { list: Unknown[] | undefined }): JSX.Element {
  if (!list) return <Panel><Loading rows={8} /></Panel>;
  if (list.length === 0) return <Panel><Empty icon="check" title={w.allKnown}>{w.allKnownMore}</Empty></Panel>;
  const attempt = (text: string): void => {
    line.value = text;
    ask({ view: "try" });
  };
  return (
    <Panel flush>
      <ul class="claims">
        {list.map((one) => (
          <li key={`${one.source} ${one.shape}`}>
            <p class="row spread">
              <span class="row"><b>{w.times(number(one.count))}</b><span class="chip">{one.source}</span></span>
              <span class="row soft small-text"><Time at={one.last_at} /><Button act={() => attempt(one.text)} small kind="quiet">{w.tryThis}</Button></span>
            </p>
            <p class="code three-lines" title={w.template}>{one.shape}</p>
            <p class="code soft three-lines" title={w.latest}>{one.text}</p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
