// System: whether everything works, what does not and what helps; processes, disks, sources, probes, deliveries.

import type { JSX } from "preact";
import { c } from "../common";
import { bytes, duration, fileName, number, relative, clock } from "../format";
import { useGet, useReloadEvery, useReloadOn } from "../list";
import { health } from "../store";
import type { Disk, Health, ProcessUse } from "../types";
import { Empty, type Fact, Facts, Loaded, Loading, Panel, Time } from "../ui/basics";
import { Line } from "../ui/chart";
import { Room } from "../ui/room";
import { Mark, StateOf, Status, type Tone } from "../ui/status";
import { words } from "../words";
import "./system.css";

const w = words({
  ok: ["Everything works", "Todo funciona"],
  degraded: ["Works in part", "Funciona en parte"],
  down: ["Does not work", "No funciona"],
  since: ["Running since", "En marcha desde"],
  loop: ["Last sign of life", "Última señal de vida"],
  ago: [(time: string) => `${time} ago`, (time: string) => `hace ${time}`],
  keeps: ["What it keeps", "Lo que guarda"],
  version: ["Version", "Versión"],
  ledger: ["Database", "Base de datos"],
  records: ["Error records", "Registro de errores"],
  owed: ["Waiting for delivery", "Avisos por entregar"],
  owedSince: [(count: number, when: string) => `${count}, the oldest ${when}`, (count: number, when: string) => `${count}, el más antiguo ${when}`],
  bot: ["The bot", "El bot"],
  noBot: ["logmedic does not run the bot; it only reads its logs.", "logmedic no ejecuta el bot; solo lee sus registros."],
  botDown: ["It does not run now.", "Ahora no está en marcha."],
  pid: ["Process", "Proceso"],
  cpu: ["Processor", "Procesador"],
  memory: ["Memory", "Memoria"],
  restarts: ["Restarts", "Reinicios"],
  freeSpace: ["Free space", "Espacio libre"],
  freeOf: [(name: string) => `Free space of ${name}`, (name: string) => `Espacio libre de ${name}`],
  sources: ["Logs that are read", "Registros que se leen"],
  behind: [(size: string) => `${size} behind`, (size: string) => `${size} de retraso`],
  probes: ["Probes", "Sondas"],
  noProbes: ["No probes", "Sin sondas"],
  noProbesMore: ["The configuration can name addresses, disks and processes to look at regularly.", "La configuración puede nombrar direcciones, discos y procesos que se miran cada cierto tiempo."],
  next: [(when: string) => `next ${when}`, (when: string) => `próxima ${when}`],
  overdue: ["overdue", "atrasada"],
  deliveries: ["Deliveries of notifications", "Entrega de avisos"],
  noDeliveries: ["Nothing was sent in the last week.", "No se envió nada en la última semana."],
});

const TONES: Record<string, Tone> = { ok: "good", degraded: "warn", down: "bad" };

export default function System(): JSX.Element {
  const now = health.value;
  // Nothing stands anywhere until its place is known: what is wrong comes first, and nobody knows how much that is.
  if (!now) return <div class="page"><Panel><Loading rows={20} /></Panel></div>;
  return (
    <div class="page">
      <Panel flush><Judgement of={now} /></Panel>
      <div class="columns three">
        <Panel title="logmedic"><Agent of={now} /></Panel>
        <Panel title={w.bot}><Bot of={now} /></Panel>
        <Panel title={w.keeps}><Kept of={now} /></Panel>
      </div>
      <Disks of={now.disks} />
      {now.sources && <Sources of={now.sources} />}
      <Probes />
      <Deliveries />
    </div>
  );
}

function Judgement({ of }: { of: Health }): JSX.Element {
  const tone = TONES[of.status] ?? "quiet";
  return (
    <ul class="entries">
      <li class={`row health-word tone-${tone}`}><Mark tone={tone} size={20} />{w[of.status]}</li>
      {of.reasons.map(({ part, status, detail, remedy }) => (
        <li key={part + detail} class="row top">
          <Mark tone={TONES[status] ?? "quiet"} />
          <div class="grow wrap"><p>{detail}</p>{remedy && <p class="soft">{remedy}</p>}</div>
        </li>
      ))}
    </ul>
  );
}

const use = ({ pid, cpu_percent, memory_bytes }: ProcessUse): Fact[] => [
  [w.cpu, cpu_percent === null ? "–" : `${number(cpu_percent, 1)} %`],
  [w.memory, bytes(memory_bytes)],
  [w.pid, pid],
];

const Agent = ({ of }: { of: Health }): JSX.Element => (
  <Facts of={[
    [w.since, <Time at={of.started_at} />],
    ...(of.agent ? use(of.agent) : []),
    of.loop_age_ms !== null && [w.loop, w.ago(duration(of.loop_age_ms / 1_000))],
    [w.version, of.version],
  ]} />
);

const Kept = ({ of }: { of: Health }): JSX.Element => (
  <Facts of={[
    [w.ledger, bytes(of.ledger_bytes)],
    [w.records, bytes(of.records_bytes)],
    [c.openIncidents, <a class="link" href="/incidents?state=open">{number(of.open_incidents)}</a>],
    [w.owed, of.undelivered_since ? w.owedSince(of.undelivered, relative(of.undelivered_since)) : number(of.undelivered)],
  ]} />
);

function Bot({ of: { runs_bot, bot } }: { of: Health }): JSX.Element {
  if (!runs_bot) return <p class="soft">{w.noBot}</p>;
  if (!bot) return <Status tone="bad">{w.botDown}</Status>;
  return (
    <Facts of={[
      bot.state && [c.state, <StateOf state={bot.state} />],
      ...use(bot),
      bot.since && [w.since, <Time at={bot.since} />],
      bot.restarts !== undefined && [w.restarts, number(bot.restarts)],
    ]} />
  );
}

interface Trend {
  name: string;
  points: { at: string; free_bytes: number }[];
}

/** So many places are enough for a small chart. */
const PLACES = 96;

function Disks({ of }: { of: Disk[] }): JSX.Element {
  const trends = useGet<Trend[]>("stats/disks?hours=24");
  useReloadEvery(60_000, trends.reload);
  return (
    <Panel title={c.disks}>
      <div class="columns">
        {of.map((disk) => (
          <div key={disk.name}>
            <Room of={disk} />
            {/* Its place is kept until it is known whether there is one. */}
            {!trends.problem.value && <div class="disk-chart"><Course of={disk} trend={trends.data.value?.find((one) => one.name === disk.name)} /></div>}
          </div>
        ))}
      </div>
    </Panel>
  );
}

function Course({ of, trend }: { of: Disk; trend: Trend | undefined }): JSX.Element | null {
  const all = trend?.points ?? [];
  if (all.length < 2) return null;
  const step = Math.ceil(all.length / PLACES);
  const points = all.filter((_, place) => (all.length - 1 - place) % step === 0);
  return (
    <Line
      label={w.freeOf(of.name)}
      at={points.map((one) => clock(one.at).slice(0, 5))}
      series={[{ name: w.freeSpace, tone: "busy", values: points.map((one) => one.free_bytes) }]}
      show={bytes}
      top={Math.max(...points.map((one) => one.free_bytes)) * 1.1}
      limit={of.min_free_bytes}
    />
  );
}

function Sources({ of }: { of: NonNullable<Health["sources"]> }): JSX.Element {
  return (
    <Panel title={w.sources} flush>
      <ul class="entries lines">
        {of.flatMap(({ name, files }) => files.map(({ path, lag_bytes }) => (
          <li key={`${name} ${path}`}>
            <Status tone={lag_bytes === null ? "quiet" : lag_bytes > 1_000_000 ? "warn" : "good"}>{lag_bytes ? w.behind(bytes(lag_bytes)) : c.current}</Status>
            <span class="grow cut-off" title={path}>{name} <span class="soft">{fileName(path).name}</span></span>
          </li>
        )))}
      </ul>
    </Panel>
  );
}

interface Probe {
  name: string;
  kind: string;
  target: string;
  state: "up" | "down" | "unknown";
  since: string | null;
  every_ms: number;
  overdue: boolean;
  last: { at: string; ok: boolean; detail: string; took_ms: number } | null;
}

function Probes(): JSX.Element {
  const probes = useGet<Probe[]>("probes");
  // Its figures come along with every look at the system.
  useReloadOn("system", probes.reload);
  return (
    <Panel title={w.probes} flush class="probes">
      <Loaded of={probes} rows={3}>
        {(list) => list.length === 0 ? <Empty icon="connections" title={w.noProbes}>{w.noProbesMore}</Empty> : (
          <ul class="entries lines">
            {list.map(({ name, kind, target, state, since, every_ms, overdue, last }) => (
              <li key={name}>
                <StateOf state={state} />
                <div class="grow">
                  <p class="cut-off"><b>{name}</b> <span class="soft">{kind} · {target}</span></p>
                  <p class="soft small-text cut-off" title={last?.detail}>{last ? `${last.detail} · ${duration(last.took_ms / 1_000)}` : "–"}</p>
                </div>
                <div class="end">
                  <p><Time at={since} /></p>
                  <p>{overdue ? <span class="warn-text">{w.overdue}</span> : last && w.next(relative(Date.parse(last.at) + every_ms))}</p>
                </div>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Panel>
  );
}

interface Told {
  name: string;
  result?: string | null;
  count: number;
}

function Deliveries(): JSX.Element {
  const stats = useGet<{ deliveries: Told[]; owed: Told[] }>("notifications/stats");
  useReloadOn("notification", stats.reload);
  const sum = (list: Told[], name: string, result?: string): number =>
    list.reduce((all, one) => (one.name === name && (!result || one.result === result) ? all + one.count : all), 0);
  return (
    <Panel title={w.deliveries} flush>
      <Loaded of={stats} rows={3}>
        {({ deliveries, owed }) => {
          const channels = [...new Set([...deliveries, ...owed].map((one) => one.name))].sort();
          return channels.length === 0 ? <Empty icon="bell" title={w.noDeliveries} /> : (
            <ul class="entries lines">
              {channels.map((name) => {
                const [kind, ...rest] = name.split(":");
                const failed = sum(deliveries, name, "failed");
                return (
                  <li key={name}>
                    <span class="cut-off" title={name}><b>{kind}</b> <span class="soft">{rest.join(":")}</span></span>
                    <span class="end">
                      {c.sent(number(sum(deliveries, name, "sent")))}
                      {" · "}<span class={failed > 0 ? "warn-text" : ""}>{c.failed(number(failed))}</span>
                      {" · "}{c.waiting(number(sum(owed, name)))}
                    </span>
                  </li>
                );
              })}
            </ul>
          );
        }}
      </Loaded>
    </Panel>
  );
}
