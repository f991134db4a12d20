// Downloads: how many and how they went, what runs now, what came before; and one of them by itself.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { bytes, exact, number } from "../format";
import { useGet, useList, useOne, useReloadOn } from "../list";
import { asked, askedId } from "../router";
import { isOpenJob, jobs } from "../store";
import type { Incident, Job } from "../types";
import { Button, Empty, Facts, Figures, Panel, say, Time } from "../ui/basics";
import { Pick, Seek } from "../ui/filters";
import { useHeading } from "../ui/heading";
import { Listing } from "../ui/rows";
import { className, incidentState, jobState, Mark, StateOf, stateWord, tone, type Tone } from "../ui/status";
import { far, JobProgress, JobThing, lasting, THING_HIGH, Whole } from "../ui/things";
import { words } from "../words";

const w = words({
  active: ["Active", "Activas"],
  completed: ["Completed", "Completadas"],
  failed: ["Failed", "Fallidas"],
  stalled: ["Stalled", "Paradas"],
  success: ["Succeeded", "Con éxito"],
  size: ["Downloaded", "Descargado"],
  none: ["No downloads yet", "Aún no hay descargas"],
  noneMore: ["They appear as the bot's log tells of them.", "Aparecen cuando el registro del bot habla de ellas."],
  again: ["Download again", "Descargar de nuevo"],
  asked: ["It is being fetched again.", "Se está descargando de nuevo."],
  path: ["Saved as", "Guardada en"],
  from: ["Address", "Dirección"],
  copy: ["Copy", "Copiar"],
  copied: ["Copied.", "Copiado."],
  begun: ["First heard of", "Primera noticia"],
  updated: ["Last heard of", "Última noticia"],
});

/** So many are searched by name at most; the agent does not search. */
const SEARCHED_MAX = 2_000;
const FOUND_ENOUGH = 30;

export default function Page(): JSX.Element {
  const id = askedId();
  return id ? <One key={id} id={id} /> : <List />;
}

interface Stats {
  by_state: Partial<Record<string, number>>;
  stalled: number;
  completed_bytes: number;
  success_ratio: number | null;
}

function Stats(): JSX.Element {
  const { data, reload } = useGet<Stats>("jobs/stats");
  useReloadOn("job", reload, (frame) => (frame.data as Job | null)?.state !== "processing");
  const stats = data.value;
  const count = (value: number | undefined): string => (stats ? number(value ?? 0) : "–");
  return (
    <Figures of={[
      [w.active, jobs.value ? number(jobs.value.length) : "–"],
      [w.stalled, count(stats?.stalled)],
      [w.completed, count(stats?.by_state.completed)],
      [w.failed, count(stats?.by_state.failed)],
      [w.success, stats?.success_ratio != null ? `${number(stats.success_ratio * 100, 1)} %` : "–"],
      [w.size, bytes(stats?.completed_bytes)],
    ]} />
  );
}

function List(): JSX.Element {
  const state = asked("state");
  const word = asked("q").toLowerCase();
  const list = useList<Job>(api.query("jobs", { state: state === "active" ? "processing" : state }), { topic: "job", has: (job) => !state || job.state === state });
  const active = state === "" || state === "active" ? (jobs.value ?? []) : [];
  const ended = state === "active" ? [] : (list.data.value ?? []).filter((job) => !isOpenJob(job));
  const items = [...active, ...ended].filter((job) => !word || `${job.name ?? ""} ${job.path ?? ""}`.toLowerCase().includes(word));
  const loaded = list.data.value?.length ?? 0;
  useEffect(() => {
    if (word && items.length < FOUND_ENOUGH && loaded < SEARCHED_MAX) list.next();
  }, [word, loaded]);
  return (
    <div class="page">
      <Stats />
      <div class="toolbar">
        <Pick of={[["", c.all], ["active", w.active], ["completed", w.completed], ["failed", w.failed]]} />
        <Seek />
      </div>
      <Panel flush>
        <Listing list={list} items={items} height={THING_HIGH} label={c.downloads} row={(of) => <JobThing of={of} />} none={<Empty icon="downloads" title={w.none}>{w.noneMore}</Empty>} />
      </Panel>
    </div>
  );
}

interface Told extends Job {
  incidents: Incident[];
}

function One({ id }: { id: string }): JSX.Element {
  const got = useOne<Told>("jobs", id, "job");
  const { data, reload } = got;
  useReloadOn("incident", reload, (frame) => (frame.data as Incident | null)?.job === id);
  useHeading(data.value && (data.value.name ?? id));
  const again = async (job: Told): Promise<void> => {
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
  };
  return <Whole list="downloads" of={got}>{(job) => <Known job={job} again={() => again(job)} />}</Whole>;
}

function Known({ job, again }: { job: Told; again: () => Promise<void> }): JSX.Element {
  const state = jobState(job);
  const events: { at: string; tone: Tone; title: ComponentChildren; detail?: string | null }[] = [
    { at: job.created_at, tone: "quiet", title: w.begun },
    ...job.incidents.map((one) => ({
      at: one.opened_at,
      tone: tone(incidentState(one)),
      title: <a class="link" href={`/incidents/${one.id}`}>{className(one.class)}: {stateWord(incidentState(one))}</a>,
      detail: one.detail,
    })),
    { at: job.ended_at ?? job.stalled_since ?? job.updated_at, tone: tone(state), title: stateWord(state) },
  ];
  events.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  return (
    <>
      <Panel>
        <div class="stack">
          <div class="row wraps spread">
            <StateOf state={state} />
            {(!isOpenJob(job) || job.stalled_since) && <Button act={again} icon="retry" role="operator" kind={job.state === "completed" ? undefined : "main"}>{w.again}</Button>}
          </div>
          {isOpenJob(job) && <JobProgress of={job} />}
          <p class="wrap soft">{far(job)}</p>
        </div>
      </Panel>
      <Panel title={c.happened}>
        <ol class="story">
          {events.map(({ at, tone, title, detail }) => (
            <li key={at}><Mark tone={tone} size={16} /><h3>{title} <Time at={at} /></h3>{detail && <p class="wrap">{detail}</p>}</li>
          ))}
        </ol>
      </Panel>
      <Panel title={c.details}>
        <Facts of={[
          job.path && [w.path, job.path],
          job.source && [c.source, job.source],
          job.url && [w.from, job.url],
          job.file_id && ["file_id", <FileId id={job.file_id} />],
          [c.attempt, number(job.attempt)],
          [w.begun, exact(job.created_at)],
          [w.updated, exact(job.updated_at)],
          [c.took, lasting(job.created_at, job.ended_at)],
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
