// System: whether everything works, what does not and what helps; processes, disks, sources, probes, deliveries.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { bytes, duration, fileName, number, relative, clock } from "../format";
import { useGet } from "../list";
import * as live from "../live";
import { health } from "../store";
import type { Disk, Health, ProcessUse, Topic } from "../types";
import { Empty, Facts, Loading, Panel, Time } from "../ui/basics";
import { Line } from "../ui/chart";
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
  open: ["Open incidents", "Incidencias abiertas"],
  owed: ["Waiting for delivery", "Avisos por entregar"],
  owedSince: [(count: number, when: string) => `${count}, the oldest ${when}`, (count: number, when: string) => `${count}, el más antiguo ${when}`],
  bot: ["The bot", "El bot"],
  noBot: ["logmedic does not run the bot; it only reads its logs.", "logmedic no ejecuta el bot; solo lee sus registros."],
  botDown: ["It does not run now.", "Ahora no está en marcha."],
  pid: ["Process", "Proceso"],
  cpu: ["Processor", "Procesador"],
  memory: ["Memory", "Memoria"],
  state: ["State", "Estado"],
  restarts: ["Restarts", "Reinicios"],
  disks: ["Disks", "Discos"],
  free: [(free: string, total: string) => `${free} free of ${total}`, (free: string, total: string) => `${free} libres de ${total}`],
  unknown: ["It does not answer.", "No responde."],
  limit: [(size: string) => `limit ${size}`, (size: string) => `límite ${size}`],
  less: [(size: string) => `${size} less every hour`, (size: string) => `${size} menos cada hora`],
  more: [(size: string) => `${size} more every hour`, (size: string) => `${size} más cada hora`],
  steady: ["hardly changes", "apenas cambia"],
  full: [(when: string) => `full ${when} if it goes on`, (when: string) => `lleno ${when} si sigue así`],
  freeSpace: ["Free space", "Espacio libre"],
  freeOf: [(name: string) => `Free space of ${name}`, (name: string) => `Espacio libre de ${name}`],
  sources: ["Logs that are read", "Registros que se leen"],
  behind: [(size: string) => `${size} behind`, (size: string) => `${size} de retraso`],
  current: ["up to date", "al día"],
  probes: ["Probes", "Sondas"],
  noProbes: ["No probes", "Sin sondas"],
  noProbesMore: ["The configuration can name addresses, disks and processes to look at regularly.", "La configuración puede nombrar direcciones, discos y procesos que se miran cada cierto tiempo."],
  next: [(when: string) => `next ${when}`, (when: string) => `próxima ${when}`],
  overdue: ["overdue", "atrasada"],
  deliveries: ["Deliveries of notifications", "Entrega de avisos"],
  noDeliveries: ["Nothing was sent in the last week.", "No se envió nada en la última semana."],
  sent: [(count: string) => `${count} sent`, (count: string) => `${count} enviados`],
  failed: [(count: string) => `${count} failed`, (count: string) => `${count} fallidos`],
  waiting: [(count: string) => `${count} waiting`, (count: string) => `${count} en espera`],
});

/** What the agent tells beyond the common figures; older ones do not. */
interface Process extends ProcessUse {
  state?: string;
  since?: string | null;
  restarts?: number;
}
interface Source {
  name: string;
  files: { path: string; lag_bytes: number | null }[];
}
type More = Omit<Health, "bot"> & { bot: Process | null; sources?: Source[] };

const TONES: Record<string, Tone> = { ok: "good", degraded: "warn", down: "bad" };

export default function System(): JSX.Element {
  const now = health.value as More | null;
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

function Judgement({ of }: { of: More }): JSX.Element {
  const tone = TONES[of.status] ?? "quiet";
  return (
    <>
      <p class={`health-word tone-${tone}`}><Mark tone={tone} size={20} />{w[of.status]}</p>
      {of.reasons.map(({ part, status, detail, remedy }) => (
        <div key={part + detail} class="reason">
          <Mark tone={TONES[status] ?? "quiet"} />
          <div class="grow wrap"><p>{detail}</p>{remedy && <p class="soft">{remedy}</p>}</div>
        </div>
      ))}
    </>
  );
}

const use = ({ pid, cpu_percent, memory_bytes }: ProcessUse): [string, ComponentChildren][] => [
  [w.cpu, cpu_percent === null ? "–" : `${number(cpu_percent, 1)} %`],
  [w.memory, bytes(memory_bytes)],
  [w.pid, pid],
];

function Agent({ of }: { of: More }): JSX.Element {
  const rows: [string, ComponentChildren][] = of.agent ? use(of.agent) : [];
  if (of.loop_age_ms !== null) rows.push([w.loop, w.ago(duration(of.loop_age_ms / 1_000))]);
  return <Facts of={[[w.since, <Time at={of.started_at} />], ...rows, [w.version, of.version]]} />;
}

const Kept = ({ of }: { of: More }): JSX.Element => (
  <Facts of={[
    [w.ledger, bytes(of.ledger_bytes)],
    [w.records, bytes(of.records_bytes)],
    [w.open, <a class="link" href="/incidents?state=open">{number(of.open_incidents)}</a>],
    [w.owed, of.undelivered_since ? w.owedSince(of.undelivered, relative(of.undelivered_since)) : number(of.undelivered)],
  ]} />
);

function Bot({ of: { runs_bot, bot } }: { of: More }): JSX.Element {
  if (!runs_bot) return <p class="soft">{w.noBot}</p>;
  if (!bot) return <Status tone="bad">{w.botDown}</Status>;
  const rows = use(bot);
  if (bot.state) rows.unshift([w.state, <StateOf state={bot.state} />]);
  if (bot.since) rows.push([w.since, <Time at={bot.since} />]);
  if (bot.restarts !== undefined) rows.push([w.restarts, number(bot.restarts)]);
  return <Facts of={rows} />;
}

interface Trend {
  name: string;
  points: { at: string; free_bytes: number }[];
}

/** So many places are enough for a small chart. */
const PLACES = 96;

function Disks({ of }: { of: Disk[] }): JSX.Element {
  const trends = useGet<Trend[]>("stats/disks?hours=24");
  useEffect(() => {
    const timer = setInterval(trends.reload, 60_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <Panel title={w.disks}>
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

/** A disk that is full sooner than this needs somebody. */
const NEAR_MS = 3 * 86_400_000;

function Room({ of: { name, free_bytes, total_bytes, min_free_bytes, change_bytes_per_hour, full_at } }: { of: Disk }): JSX.Element {
  if (free_bytes === null || !total_bytes) return <><h3 class="wrap">{name}</h3><Status tone="warn">{w.unknown}</Status></>;
  const tone: Tone = free_bytes < min_free_bytes ? "bad" : full_at && Date.parse(full_at) - Date.now() < NEAR_MS ? "warn" : "good";
  const share = (part: number): string => `${Math.min(100, Math.max(0, (part / total_bytes) * 100))}%`;
  const text = w.free(bytes(free_bytes), bytes(total_bytes));
  const change = change_bytes_per_hour;
  return (
    <>
      <h3 class="wrap"><Mark tone={tone} /> {name}</h3>
      <div class={`room tone-${tone}`} role="img" aria-label={text}>
        <div class="used" style={{ width: share(total_bytes - free_bytes) }} />
        <span class="limit" style={{ left: `calc(${share(total_bytes - min_free_bytes)} - 2px)` }} />
      </div>
      <p class="disk-facts">
        <span>{text}</span>
        <span>{w.limit(bytes(min_free_bytes))}</span>
        {change !== null && <span>{Math.abs(change) < total_bytes / 10_000 ? w.steady : w[change > 0 ? "more" : "less"](bytes(Math.abs(change)))}</span>}
        {full_at && <span class="warn-text">{w.full(relative(full_at))}</span>}
      </p>
    </>
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

function Sources({ of }: { of: Source[] }): JSX.Element {
  return (
    <Panel title={w.sources} flush>
      <ul class="plain-rows">
        {of.flatMap(({ name, files }) => files.map(({ path, lag_bytes }) => (
          <li key={`${name} ${path}`}>
            <Status tone={lag_bytes === null ? "quiet" : lag_bytes > 1_000_000 ? "warn" : "good"}>{lag_bytes ? w.behind(bytes(lag_bytes)) : w.current}</Status>
            <span class="grow cut-off" title={path}>{name} <span class="soft">{fileName(path).name}</span></span>
          </li>
        )))}
      </ul>
    </Panel>
  );
}

/** A burst of changes is asked about once. */
const SOON_AFTER_MS = 400;

/** Calls `load` soon after something of a topic was told. */
function useSoon(topic: Topic, load: () => void): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = live.on(topic, () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        load();
      }, SOON_AFTER_MS);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, []);
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
  const { data, problem, reload } = useGet<Probe[]>("probes");
  // Its figures come along with every look at the system.
  useSoon("system", reload);
  const list = data.value;
  return (
    <Panel title={w.probes} flush>
      {!list ? (
        problem.value ? <Empty title={problem.value.message} /> : <Loading rows={3} />
      ) : list.length === 0 ? (
        <Empty icon="connections" title={w.noProbes}>{w.noProbesMore}</Empty>
      ) : (
        <ul class="plain-rows">
          {list.map(({ name, kind, target, state, since, every_ms, overdue, last }) => (
            <li key={name}>
              <StateOf state={state} />
              <div class="grow">
                <p class="cut-off"><b>{name}</b> <span class="soft">{kind} · {target}</span></p>
                <p class="second cut-off" title={last?.detail}>{last ? `${last.detail} · ${duration(last.took_ms / 1_000)}` : "–"}</p>
              </div>
              <div class="end">
                <p><Time at={since} /></p>
                <p>{overdue ? <span class="warn-text">{w.overdue}</span> : last && w.next(relative(Date.parse(last.at) + every_ms))}</p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

interface Told {
  name: string;
  result?: string | null;
  count: number;
}

function Deliveries(): JSX.Element {
  const { data, problem, reload } = useGet<{ deliveries: Told[]; owed: Told[] }>("notifications/stats");
  useSoon("notification", reload);
  const found = data.value;
  const channels = [...new Set(found && [...found.deliveries, ...found.owed].map((one) => one.name))].sort();
  const sum = (list: Told[], name: string, result?: string): number =>
    list.reduce((all, one) => (one.name === name && (!result || one.result === result) ? all + one.count : all), 0);
  return (
    <Panel title={w.deliveries} flush>
      {!found ? (
        problem.value ? <Empty title={problem.value.message} /> : <Loading rows={3} />
      ) : channels.length === 0 ? (
        <Empty icon="bell" title={w.noDeliveries} />
      ) : (
        <ul class="plain-rows">
          {channels.map((name) => {
            const [kind, ...rest] = name.split(":");
            const failed = sum(found.deliveries, name, "failed");
            return (
              <li key={name}>
                <span class="cut-off" title={name}><b>{kind}</b> <span class="soft">{rest.join(":")}</span></span>
                <span class="end">
                  {w.sent(number(sum(found.deliveries, name, "sent")))}
                  {" · "}<span class={failed > 0 ? "warn-text" : ""}>{w.failed(number(failed))}</span>
                  {" · "}{w.waiting(number(sum(found.owed, name)))}
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </Panel>
  );
}
