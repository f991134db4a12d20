// Downloads: how many and how they went, what runs now, what came before; and one of them by itself.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { bytes, duration, exact, fileName, now, number, relative } from "../format";
import { useGet, useList } from "../list";
import * as live from "../live";
import { ask, here } from "../router";
import { isOpenJob, jobs } from "../store";
import type { Incident, Job } from "../types";
import { Button, Choice, Empty, Facts, Loading, Panel, Progress, say, Search, Time, Trouble } from "../ui/basics";
import { useHeading } from "../ui/heading";
import { Rows } from "../ui/rows";
import { className, incidentState, jobState, Mark, StateOf, stateWord, tone, type Tone } from "../ui/status";
import { words } from "../words";
import "./things.css";

const w = words({
  title: ["Downloads", "Descargas"],
  show: ["Show", "Mostrar"],
  all: ["All", "Todas"],
  active: ["Active", "Activas"],
  completed: ["Completed", "Completadas"],
  failed: ["Failed", "Fallidas"],
  search: ["Search by name", "Buscar por nombre"],
  stalled: ["Stalled", "Paradas"],
  success: ["Succeeded", "Con éxito"],
  size: ["Downloaded", "Descargado"],
  unknown: ["how far is not known", "avance desconocido"],
  of: [(part: string, whole: string) => `${part} of ${whole}`, (part: string, whole: string) => `${part} de ${whole}`],
  sofar: [(part: string) => `${part} so far`, (part: string) => `${part} hasta ahora`],
  left: [(time: string) => `${time} left`, (time: string) => `quedan ${time}`],
  still: [(when: string) => `no byte came since ${when}`, (when: string) => `sin recibir nada desde ${when}`],
  attempt: ["Attempt", "Intento"],
  none: ["No downloads yet", "Aún no hay descargas"],
  noneMore: ["They appear as the bot's log tells of them.", "Aparecen cuando el registro del bot habla de ellas."],
  noMatch: ["No download matches", "Ninguna descarga coincide"],
  back: ["All downloads", "Todas las descargas"],
  again: ["Download again", "Descargar de nuevo"],
  asked: ["It is being fetched again.", "Se está descargando de nuevo."],
  happened: ["What happened", "Qué ocurrió"],
  heard: ["first heard of", "primera noticia"],
  details: ["Details", "Detalles"],
  path: ["Saved as", "Guardada en"],
  source: ["Source", "Origen"],
  from: ["Address", "Dirección"],
  copy: ["Copy", "Copiar"],
  copied: ["Copied.", "Copiado."],
  begun: ["First heard of", "Primera noticia"],
  updated: ["Last heard of", "Última noticia"],
  took: ["Took", "Duró"],
});

const HIGH = 58;
/** So many are searched by name at most; the agent does not search. */
const SEARCHED_MAX = 2_000;
const FOUND_ENOUGH = 30;

const seconds = (job: Job): number => Math.max(0, ((job.ended_at ? Date.parse(job.ended_at) : now.value) - Date.parse(job.created_at)) / 1_000);

/** How far it is, in words; what is not known is not made up. */
function far(job: Job): string {
  if (!isOpenJob(job)) return [job.bytes !== null && bytes(job.bytes), job.message].filter(Boolean).join(" · ");
  return [
    job.percent === null ? job.state === "processing" && w.unknown : `${number(job.percent)} %`,
    job.bytes !== null && (job.total === null ? w.sofar(bytes(job.bytes)) : w.of(bytes(job.bytes), bytes(job.total))),
    job.stalled_since ? w.still(relative(job.stalled_since)) : job.rate !== null && `${bytes(job.rate)}/s`,
    !job.stalled_since && job.eta_s !== null && w.left(duration(job.eta_s)),
    job.attempt > 1 && `${w.attempt.toLowerCase()} ${job.attempt}`,
  ].filter(Boolean).join(" · ");
}

const Far = ({ job }: { job: Job }): JSX.Element => (
  <span class="far">
    {job.state === "processing" && <Progress percent={job.percent} label={job.name ?? job.id} still={job.stalled_since !== null} />}
    <span class="cut-off">{far(job)}</span>
  </span>
);

const Row = ({ job }: { job: Job }): JSX.Element => (
  <a class="thing" href={`/downloads/${job.id}`}>
    <StateOf state={jobState(job)} />
    <span class="name"><b class="cut-off">{job.name ?? job.id}</b><span class="soft cut-off">{job.path && fileName(job.path).folder}</span></span>
    <span class="doing cut-off"><Far job={job} /></span>
    <span class="end"><span>{duration(seconds(job))}</span><Time at={job.ended_at ?? job.created_at} /></span>
  </a>
);

export default function Page(): JSX.Element {
  const id = here.value.path.split("/")[2];
  return id ? <One key={id} id={id} /> : <List />;
}

interface Stats {
  by_state: Partial<Record<string, number>>;
  stalled: number;
  completed_bytes: number;
  success_ratio: number | null;
}

/** A burst of frames is one load. */
const BURST_MS = 400;
function useReload(reload: () => void, when: (topic: "job" | "incident", data: unknown) => boolean): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ends = (["job", "incident"] as const).map((topic) =>
      live.on(topic, (frame) => {
        if (!when(topic, frame.data)) return;
        clearTimeout(timer);
        timer = setTimeout(reload, BURST_MS);
      }),
    );
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }, []);
}

function Figures(): JSX.Element {
  const { data, reload } = useGet<Stats>("jobs/stats");
  useReload(reload, (topic, job) => topic === "job" && (job as Job | null)?.state !== "processing");
  const stats = data.value;
  const count = (value: number | undefined): string => (stats ? number(value ?? 0) : "–");
  return (
    <div class="figures">
      {([
        [w.active, jobs.value ? number(jobs.value.length) : "–"],
        [w.stalled, count(stats?.stalled)],
        [w.completed, count(stats?.by_state.completed)],
        [w.failed, count(stats?.by_state.failed)],
        [w.success, stats?.success_ratio != null ? `${number(stats.success_ratio * 100, 1)} %` : "–"],
        [w.size, bytes(stats?.completed_bytes)],
      ] as const).map(([name, value]) => <div class="figure" key={name}><b>{value}</b><span>{name}</span></div>)}
    </div>
  );
}

function List(): JSX.Element {
  const state = here.value.query.get("state") ?? "";
  const sought = here.value.query.get("q") ?? "";
  const list = useList<Job>(api.query("jobs", { state: state === "active" ? "processing" : state }), { topic: "job", has: (job) => !state || job.state === state });
  const active = state === "" || state === "active" ? (jobs.value ?? []) : [];
  const ended = state === "active" ? [] : (list.items.value ?? []).filter((job) => !isOpenJob(job));
  const word = sought.toLowerCase();
  const items = [...active, ...ended].filter((job) => !word || `${job.name ?? ""} ${job.path ?? ""}`.toLowerCase().includes(word));
  const loaded = list.items.value?.length ?? 0;
  useEffect(() => {
    if (word && items.length < FOUND_ENOUGH && loaded < SEARCHED_MAX) list.next();
  }, [word, loaded]);
  return (
    <div class="page">
      <Figures />
      <div class="toolbar">
        <Choice label={w.show} value={state} of={[["", w.all], ["active", w.active], ["completed", w.completed], ["failed", w.failed]]} pick={(value) => ask({ state: value })} />
        <Search label={w.search} value={sought} seek={(text) => ask({ q: text })} />
      </div>
      <Panel flush>
        {list.problem.value && !list.items.value ? <Trouble problem={list.problem.value} again={list.reload} />
          : !list.items.value ? <Loading rows={10} />
          : items.length > 0 ? <Rows items={items} height={HIGH} label={w.title} row={(job) => <Row job={job} />} more={list.more.value && state !== "active" ? list.next : undefined} />
          : state || word ? <Empty icon="search" title={w.noMatch} />
          : <Empty icon="downloads" title={w.none}>{w.noneMore}</Empty>}
      </Panel>
    </div>
  );
}

function One({ id }: { id: string }): JSX.Element {
  const { data, problem, reload } = useGet<Job & { incidents: Incident[] }>(`jobs/${encodeURIComponent(id)}`);
  useEffect(() => live.on("job", (frame) => {
    const job = frame.data as Job | null;
    if (data.value && job?.id === id) data.value = { ...data.value, ...job };
  }), []);
  useReload(reload, (topic, of) => topic === "incident" && (of as Incident | null)?.job === id);
  const job = data.value;
  useHeading(job && (job.name ?? id));
  return (
    <div class="page">
      <a class="link small-text" href="/downloads">← {w.back}</a>
      {job ? <Whole job={job} fetchAgain={async () => {
        data.value = { ...job, state: "queued", ended_at: null };
        try {
          await api.post(`jobs/${id}/retry`);
          say(w.asked);
        } catch (error) {
          data.value = job;
          throw error;
        } finally {
          reload();
        }
      }} /> : problem.value ? <Trouble problem={problem.value} again={reload} /> : <Panel><Loading rows={10} /></Panel>}
    </div>
  );
}

function Whole({ job, fetchAgain }: { job: Job & { incidents: Incident[] }; fetchAgain: () => Promise<void> }): JSX.Element {
  const state = jobState(job);
  const events: { at: string; tone: Tone; title: ComponentChildren; detail?: string | null }[] = [
    { at: job.created_at, tone: "quiet", title: w.heard },
    ...job.incidents.map((one) => ({
      at: one.opened_at,
      tone: tone(incidentState(one)),
      title: <a class="link" href={`/incidents/${one.id}`}>{className(one.class)}: {stateWord(incidentState(one))}</a>,
      detail: one.detail,
    })),
    { at: job.ended_at ?? job.stalled_since ?? job.updated_at, tone: tone(state), title: stateWord(state) },
  ];
  events.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const text = (name: string, value: string | null): [string, string][] => (value ? [[name, value]] : []);
  return (
    <>
      <Panel>
        <div class="stack">
          <div class="row wraps spread">
            <StateOf state={state} />
            {(!isOpenJob(job) || job.stalled_since) && <Button act={fetchAgain} icon="retry" role="operator" kind={job.state === "completed" ? undefined : "main"}>{w.again}</Button>}
          </div>
          {isOpenJob(job) && <Progress percent={job.percent} label={job.name ?? job.id} still={job.state === "queued" || job.stalled_since !== null} />}
          <p class="wrap soft">{far(job)}</p>
        </div>
      </Panel>
      <Panel title={w.happened}>
        <ol class="story">
          {events.map(({ at, tone, title, detail }) => (
            <li key={at}><Mark tone={tone} size={16} /><h3>{title} <Time at={at} /></h3>{detail && <p class="wrap">{detail}</p>}</li>
          ))}
        </ol>
      </Panel>
      <Panel title={w.details}>
        <Facts of={[
          ...text(w.path, job.path),
          ...text(w.source, job.source),
          ...text(w.from, job.url),
          ...(job.file_id ? [["file_id", <FileId id={job.file_id} />] as [string, JSX.Element]] : []),
          [w.attempt, number(job.attempt)],
          [w.begun, exact(job.created_at)],
          [w.updated, exact(job.updated_at)],
          [w.took, duration(seconds(job))],
        ]} />
      </Panel>
    </>
  );
}

/** Long and of no use to read: shortened, to be copied. Where the browser does not let us copy, it is shown whole. */
function FileId({ id }: { id: string }): JSX.Element {
  const whole = useSignal(id.length < 30);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(id);
      say(w.copied);
    } catch {
      whole.value = true;
    }
  };
  return (
    <span class="row wraps">
      <code class="wrap" title={id}>{whole.value ? id : `${id.slice(0, 14)}…${id.slice(-6)}`}</code>
      <Button act={copy} small>{w.copy}</Button>
    </span>
  );
}
