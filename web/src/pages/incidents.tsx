// What went wrong: the list, and one incident's story.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { fileName, number, relative } from "../format";
import { useList } from "../list";
import { ask, here } from "../router";
import { isOpenIncident } from "../store";
import type { Incident } from "../types";
import { Button, Choice, Empty, Loading, Panel, Select, Time, Trouble } from "../ui/basics";
import { Rows } from "../ui/rows";
import { CLASSES, className, incidentState, StateOf, stateWord, strategyName } from "../ui/status";
import { query } from "../api";
import { words } from "../words";
import { choices, sourcesOf } from "./filters";
import Story, { lasting } from "./incidents/story";
import "./things.css";
import "./incidents.css";

const w = words({
  title: ["Incidents", "Incidencias"],
  all: ["All", "Todas"],
  open: ["Open", "Abiertas"],
  show: ["Show", "Mostrar"],
  result: ["Result", "Resultado"],
  anyResult: ["Any result", "Cualquier resultado"],
  kind: ["Kind", "Tipo"],
  anyKind: ["Any kind", "Cualquier tipo"],
  source: ["Source", "Origen"],
  anySource: ["Any source", "Cualquier origen"],
  since: ["Opened", "Abierta"],
  anyTime: ["Any time", "Siempre"],
  hour: ["Last hour", "Última hora"],
  day: ["Last 24 hours", "Últimas 24 horas"],
  week: ["Last 7 days", "Últimos 7 días"],
  lines: [(count: string) => `${count} lines`, (count: string) => `${count} líneas`],
  attempt: [(at: number, of: number) => `attempt ${at} of ${of}`, (at: number, of: number) => `intento ${at} de ${of}`],
  next: [(when: string) => `next step ${when}`, (when: string) => `siguiente paso ${when}`],
  none: ["Nothing has gone wrong", "No ha fallado nada"],
  noneOpen: ["Nothing is open", "No hay nada abierto"],
  noneMore: ["When something breaks, it is told here as it happens.", "Si algo falla, se cuenta aquí en el momento."],
  noMatch: ["No incident matches", "Ninguna incidencia coincide"],
  clear: ["Show all", "Mostrar todas"],
});

const RESULTS = ["healed", "recovered", "not_confirmed", "alert_only", "exhausted", "refused", "cancelled", "interrupted"];
const HOURS: Record<string, number> = { "1h": 1, "24h": 24, "7d": 168 };
const HIGH = 58;

/** What is being done about it; of one that is over, how it went. */
function doing(one: Incident): string {
  const step = one.steps.at(-1);
  if (!isOpenIncident(one)) return one.detail ?? "";
  if (step?.ok === null) return `${strategyName(step.strategy)}, ${w.attempt(step.attempt, step.attempts)}`;
  const next = one.due && one.held_on !== "approval" ? w.next(relative(one.due)) : "";
  return [next, one.detail].filter(Boolean).join(" · ");
}

function Row({ one }: { one: Incident }): JSX.Element {
  const { folder, name } = one.subject.kind === "file" ? fileName(one.subject.value) : { folder: "", name: one.subject.value };
  return (
    <a class="thing" href={`/incidents/${one.id}`}>
      <StateOf state={incidentState(one)} />
      <span class="name"><b class="cut-off">{name}</b><span class="soft cut-off">{folder}</span></span>
      <span class="doing cut-off">
        {className(one.class)}{one.count > 1 && ` · ${w.lines(number(one.count))}`} · {doing(one)}
      </span>
      <span class="end"><span>{lasting(one)}</span><Time at={one.opened_at} /></span>
    </a>
  );
}

export default function Page(): JSX.Element {
  const id = here.value.path.split("/")[2];
  return id ? <Story key={id} id={id} /> : <List />;
}

function List(): JSX.Element {
  const asked = (name: string): string => here.value.query.get(name) ?? "";
  const [state, kind, source, since] = [asked("state"), asked("class"), asked("source"), asked("since")];
  const from = useMemo(() => (HOURS[since] ? new Date(Date.now() - HOURS[since] * 3_600_000).toISOString() : ""), [since]);
  const list = useList<Incident>(query("incidents", { state, class: kind, source, since: from }), {
    topic: "incident",
    has: (one) =>
      (!state || (state === "open" ? isOpenIncident(one) : one.state === state)) &&
      (!kind || one.class === kind) && (!source || one.source === source) && one.opened_at >= from,
  });
  const items = list.items.value;
  const sources = sourcesOf((items ?? []).slice(0, 500), source);
  return (
    <div class="page">
      <div class="toolbar">
        <Choice label={w.show} value={state === "open" ? "open" : state ? "-" : ""} of={[["", w.all], ["open", w.open]]} pick={(value) => ask({ state: value })} />
        <Select label={w.result} value={state === "open" ? "" : state} of={choices(RESULTS, w.anyResult, stateWord)} pick={(value) => ask({ state: value })} />
        <Select label={w.kind} value={kind} of={choices(CLASSES, w.anyKind, className)} pick={(value) => ask({ class: value })} />
        {sources.length > 1 && <Select label={w.source} value={source} of={choices(sources, w.anySource)} pick={(value) => ask({ source: value })} />}
        <Select label={w.since} value={since} of={[["", w.anyTime], ["1h", w.hour], ["24h", w.day], ["7d", w.week]]} pick={(value) => ask({ since: value })} />
      </div>
      <Panel flush>
        {list.problem.value && !items ? <Trouble problem={list.problem.value} again={list.reload} />
          : !items ? <Loading rows={10} />
          : items.length > 0 ? <Rows items={items} height={HIGH} label={w.title} row={(one) => <Row one={one} />} more={list.more.value ? list.next : undefined} />
          : state === "open" && !kind && !source && !since ? <Empty icon="check" title={w.noneOpen}>{w.noneMore}</Empty>
          : here.value.query.size > 0 ? <Empty icon="search" title={w.noMatch}><Button act={() => ask({ state: "", class: "", source: "", since: "" })}>{w.clear}</Button></Empty>
          : <Empty icon="check" title={w.none}>{w.noneMore}</Empty>}
      </Panel>
    </div>
  );
}
