// Is all well? Two seconds for that; what happened and what is asked of people, ten.

import type { JSX } from "preact";
import { useSignal } from "@preact/signals";
import { c } from "../common";
import { duration, number, relative } from "../format";
import { useGet, useList, useReloadOn } from "../list";
import { health, incidents, isOpenIncident, jobs, mood, operations, troubles } from "../store";
import type { Incident, Overview as Figures } from "../types";
import { Choice, Empty, Loaded, Loading, Panel } from "../ui/basics";
import { Bars, type Series } from "../ui/chart";
import { Room } from "../ui/room";
import { className, Mark, type Tone } from "../ui/status";
import { IncidentThing, JobThing } from "../ui/things";
import { words } from "../words";
import "./overview.css";

const w = words({
  good: ["All is well", "Todo va bien"],
  busy: [(n: number) => (n === 1 ? "One fault is being mended" : `${n} faults are being mended`), (n: number) => (n === 1 ? "Se está reparando un fallo" : `Se están reparando ${n} fallos`)],
  bad: ["Something needs attention", "Algo requiere atención"],
  down: ["logmedic is not working as it should", "logmedic no funciona como debería"],
  unknown: ["Looking…", "Mirando…"],
  approvals: [(n: number) => (n === 1 ? "One repair asks for your permission" : `${n} repairs ask for your permission`), (n: number) => (n === 1 ? "Una reparación espera su permiso" : `${n} reparaciones esperan su permiso`)],
  troubles: [(n: number) => (n === 1 ? "One fault of the last day was not mended" : `${n} faults of the last day were not mended`), (n: number) => (n === 1 ? "Un fallo del último día no se pudo reparar" : `${n} fallos del último día no se pudieron reparar`)],
  waits: [(n: number) => (n === 1 ? "One fault is waiting for something else to come back" : `${n} faults are waiting for something else to come back`), (n: number) => (n === 1 ? "Un fallo espera a que otra cosa se recupere" : `${n} fallos esperan a que otra cosa se recupere`)],
  runs: [(time: string) => `Watching for ${time}`, (time: string) => `Vigilando desde hace ${time}`],
  botRuns: ["the bot is running", "el bot está en marcha"],
  botDown: ["the bot is not running", "el bot no está en marcha"],
  noneOpen: ["Nothing is broken", "Nada está roto"],
  lastHealed: [(when: string) => `The last fault ended ${when}.`, (when: string) => `El último fallo terminó ${when}.`],
  never: ["No fault was seen yet.", "Aún no se ha visto ningún fallo."],
  loading: ["Downloads now", "Descargas en curso"],
  noneLoading: ["No download is under way", "No hay descargas en curso"],
  healing: ["Faults over time", "Fallos en el tiempo"],
  day: ["24 h", "24 h"],
  week: ["7 days", "7 días"],
  month: ["30 days", "30 días"],
  healed: ["healed", "reparados"],
  recovered: ["recovered", "recuperados"],
  failed: ["needed a person", "requirieron ayuda"],
  other: ["not confirmed", "no confirmados"],
  open: ["open", "abiertos"],
  byClass: ["By kind", "Por tipo"],
  noFaults: ["No faults in this time", "Sin fallos en este periodo"],
  latest: ["Latest", "Lo último"],
  working: ["Working now", "Trabajando ahora"],
});

export default function Overview(): JSX.Element {
  // All at once, so that nothing moves when the rest comes.
  if (!health.value || !incidents.value || !jobs.value) return <div class="page"><Loading rows={16} /></div>;
  return (
    <div class="page">
      <Banner />
      <div class="columns">
        <Open />
        <Downloads />
      </div>
      <History />
      <div class="columns">
        <Latest />
        <Disks />
      </div>
    </div>
  );
}

function Banner(): JSX.Element {
  const now = health.value;
  const open = incidents.value ?? [];
  const held = open.filter((one) => one.held_on !== null);
  const asks = open.filter((one) => one.held_on === "approval");
  const feeling = mood.value;
  const mark: Tone = feeling === "good" ? "good" : feeling === "busy" ? "busy" : feeling === "bad" ? (now?.status === "down" ? "bad" : "warn") : "quiet";
  const title = feeling === "good" ? w.good : feeling === "busy" ? w.busy(open.length) : feeling === "unknown" ? w.unknown : now?.status === "down" ? w.down : w.bad;
  const notes: JSX.Element[] = [];
  if (asks.length > 0) notes.push(<a class="link" href="/incidents?state=held">{w.approvals(asks.length)}</a>);
  const unhealed = troubles.value?.length ?? 0;
  if (unhealed > 0) notes.push(<a class="link" href="/incidents?state=unhealed">{w.troubles(unhealed)}</a>);
  if (held.length > asks.length) notes.push(<a class="link" href="/incidents?state=held">{w.waits(held.length - asks.length)}</a>);
  for (const reason of now?.reasons ?? []) notes.push(<span>{reason.detail}{reason.remedy && <span class="soft"> – {reason.remedy}</span>}</span>);
  return (
    <section class={`banner panel tone-${mark}`} aria-live="polite">
      <Mark tone={mark} size={30} />
      <div class="grow">
        <p class="banner-title">{title}</p>
        <p class="soft">
          {now ? `${w.runs(duration(now.uptime_s))}${now.runs_bot ? ` · ${now.bot ? w.botRuns : w.botDown}` : ""}` : "\u00a0"}
        </p>
        {notes.length > 0 && <ul class="banner-notes">{notes.map((note, index) => <li key={index} class="wrap">{note}</li>)}</ul>}
      </div>
    </section>
  );
}

const SHOWN = 4;

function Open(): JSX.Element {
  const open = incidents.value;
  return (
    <Panel title={c.openIncidents} flush class="tall" aside={open && open.length > SHOWN && <a class="link" href="/incidents?state=open">{c.all} ({open.length})</a>}>
      {open === null ? <Loading rows={4} /> : open.length === 0 ? <NothingOpen /> : (
        <div class="short entries">{open.slice(0, SHOWN).map((one) => <IncidentThing key={one.id} of={one} />)}</div>
      )}
    </Panel>
  );
}

function NothingOpen(): JSX.Element {
  const last = useList<Incident>("incidents", { topic: "incident" }).data.value?.find((one) => one.ended_at);
  return <Empty icon="check" title={w.noneOpen}>{last?.ended_at ? w.lastHealed(relative(last.ended_at)) : w.never}</Empty>;
}

function Downloads(): JSX.Element {
  const now = jobs.value;
  const work = operations.value?.filter((one) => one.state === "running").length ?? 0;
  return (
    <Panel title={w.loading} flush class="tall" aside={work > 0 && <a class="link" href="/operations">{w.working}: {work}</a>}>
      {now === null ? <Loading rows={4} /> : now.length === 0 ? <Empty icon="downloads" title={w.noneLoading} /> : (
        <div class="short entries">{now.slice(0, SHOWN).map((one) => <JobThing key={one.id} of={one} />)}</div>
      )}
    </Panel>
  );
}

const HOUR = 3_600_000;
const SPANS = { "24": HOUR, "168": 24 * HOUR, "720": 24 * HOUR } as const;
type Span = keyof typeof SPANS;

function History(): JSX.Element {
  const span = useSignal<Span>("168");
  const figures = useGet<Figures>(`stats/overview?hours=${span.value}`);
  useReloadOn("incident", figures.reload);
  const choice = <Choice label={c.time} value={span.value} of={[["24", w.day], ["168", w.week], ["720", w.month]]} pick={(value) => (span.value = value)} />;
  return (
    <Panel title={w.healing} aside={choice}>
      <div class="history">
        <Loaded of={figures}>{(found) => <><div class="grow"><FaultChart of={found} span={span.value} /></div><ByClass of={found} /></>}</Loaded>
      </div>
    </Panel>
  );
}

const ENDED: Record<string, "healed" | "recovered" | "failed" | "open" | "other"> = {
  healed: "healed", recovered: "recovered", open: "open", exhausted: "failed", refused: "failed", alert_only: "failed",
};
const KINDS = [["healed", "good"], ["recovered", "busy"], ["failed", "bad"], ["other", "quiet"], ["open", "wait"]] as const;

function FaultChart({ of, span }: { of: Figures; span: Span }): JSX.Element {
  const step = SPANS[span];
  const since = Math.floor(Date.parse(of.since) / step) * step;
  const places = Math.floor((Date.now() - since) / step) + 1;
  const at = Array.from({ length: places }, (_, place) => {
    const when = new Date(since + place * step);
    return step === HOUR ? when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : when.toLocaleDateString([], { day: "numeric", month: "short" });
  });
  const series: Series[] = KINDS.map(([name, tone]) => ({ name: w[name], tone, values: Array<number>(places).fill(0) }));
  for (const one of of.failures) {
    const place = Math.floor((Date.parse(one.at) - since) / step);
    const values = series[KINDS.findIndex(([name]) => name === (ENDED[one.result] ?? "other"))]?.values;
    if (values && place >= 0 && place < places) values[place] = (values[place] ?? 0) + one.count;
  }
  const some = series.filter((one) => one.values.some((value) => value > 0));
  return some.length === 0 ? <Empty title={w.noFaults} /> : <Bars label={w.healing} at={at} series={some} />;
}

function ByClass({ of }: { of: Figures }): JSX.Element | null {
  const counts = new Map<string, { all: number; bad: number }>();
  for (const one of of.failures) {
    const count = counts.get(one.class) ?? { all: 0, bad: 0 };
    count.all += one.count;
    if (ENDED[one.result] === "failed") count.bad += one.count;
    counts.set(one.class, count);
  }
  const most = Math.max(1, ...[...counts.values()].map((count) => count.all));
  const sorted = [...counts].sort((a, b) => b[1].all - a[1].all);
  if (sorted.length === 0) return null;
  return (
    <table class="by-class">
      <caption class="hidden">{w.byClass}</caption>
      <tbody>
        {sorted.map(([name, count]) => (
          <tr key={name}>
            <th scope="row"><a href={`/incidents?class=${encodeURIComponent(name)}`}>{className(name)}</a></th>
            <td class="bar-cell" aria-hidden="true"><span class="bar" style={{ width: `${(count.all / most) * 100}%` }}><span class="bar-bad" style={{ width: `${(count.bad / count.all) * 100}%` }} /></span></td>
            <td class="number">{number(count.all)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Disks(): JSX.Element {
  const disks = health.value?.disks;
  return (
    <Panel title={c.disks} aside={<a class="link" href="/system">{c.all}</a>}>
      {!disks ? <Loading rows={3} /> : <div class="stack">{disks.map((disk) => <Room key={disk.name} of={disk} />)}</div>}
    </Panel>
  );
}

function Latest(): JSX.Element {
  const list = useList<Incident>("incidents", { topic: "incident" });
  return (
    <Panel title={w.latest} flush aside={<a class="link" href="/incidents">{c.all}</a>}>
      <Loaded of={list} rows={5}>
        {(all) => {
          const ended = all.filter((one) => !isOpenIncident(one)).slice(0, 8);
          return ended.length === 0 ? <Empty icon="check" title={w.never} /> : <div class="short entries">{ended.map((one) => <IncidentThing key={one.id} of={one} />)}</div>;
        }}
      </Loaded>
    </Panel>
  );
}
