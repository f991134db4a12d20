// A thing among others, an incident or a download above all, and a thing on a page of its own: the same on every page.

import type { ComponentChildren, JSX } from "preact";
import { c } from "../common";
import { bytes, duration, fileName, now, number, relative } from "../format";
import type { Got } from "../list";
import { isOpenIncident, isOpenJob } from "../store";
import type { Incident, Job } from "../types";
import { words } from "../words";
import { Loaded, Panel, Progress, Time } from "./basics";
import { className, incidentState, jobState, StateOf, strategyName } from "./status";

const w = words({
  attempt: [(at: number, of: number) => `attempt ${at} of ${of}`, (at: number, of: number) => `intento ${at} de ${of}`],
  next: [(when: string) => `next step ${when}`, (when: string) => `siguiente paso ${when}`],
  unknown: ["how far is not known", "avance desconocido"],
  sofar: [(part: string) => `${part} so far`, (part: string) => `${part} hasta ahora`],
  still: [(when: string) => `no byte came since ${when}`, (when: string) => `sin recibir nada desde ${when}`],
});

/** The height of a `Thing` in a list. */
export const THING_HIGH = 58;

/** Its state, its name and what belongs to it, what is going on, and when. Where it is narrow the state stands before what is going on. */
export function Thing({ href, state, name, of, doing, end }: {
  href: string;
  state: string;
  name: string;
  of?: string;
  doing: ComponentChildren;
  /** Two lines. */
  end: ComponentChildren;
}): JSX.Element {
  return (
    <a class="thing" href={href}>
      <StateOf state={state} />
      <span class="name"><b class="cut-off">{name}</b><span class="soft cut-off">{of}</span></span>
      <span class="doing cut-off">{doing}</span>
      <span class="end">{end}</span>
    </a>
  );
}

/** One thing: the way back to its list, and what is made of it once it is there. */
export function Whole<T>({ list, of, children }: { list: "incidents" | "downloads" | "operations" | "library"; of: Got<T>; children: (found: T) => ComponentChildren }): JSX.Element {
  const body = <Loaded of={of} rows={10}>{children}</Loaded>;
  return (
    <div class="page">
      <a class="link small-text" href={`/${list}`}>← {c[list]}</a>
      {of.data.value ? body : <Panel>{body}</Panel>}
    </div>
  );
}

/** How long something took, or takes so far. */
export const lasting = (from: string, to: string | null): string =>
  duration(Math.max(0, ((to ? Date.parse(to) : now.value) - Date.parse(from)) / 1_000));

/** What is being done about an incident; of one that is over, how it went. */
function doing(one: Incident): string {
  const step = one.steps.at(-1);
  if (!isOpenIncident(one)) return one.detail ?? "";
  if (step?.ok === null) return `${strategyName(step.strategy)}, ${w.attempt(step.attempt, step.attempts)}`;
  const next = one.due && one.held_on !== "approval" ? w.next(relative(one.due)) : "";
  return [next, one.detail].filter(Boolean).join(" · ");
}

export function IncidentThing({ of }: { of: Incident }): JSX.Element {
  const { kind, value } = of.subject;
  const { folder, name } = kind === "file" || kind === "directory" ? fileName(value) : { folder: "", name: value };
  return (
    <Thing
      href={`/incidents/${of.id}`} state={incidentState(of)} name={name} of={folder}
      doing={[className(of.class), of.count > 1 && c.lines(number(of.count)), doing(of)].filter(Boolean).join(" · ")}
      end={<><span>{lasting(of.opened_at, of.ended_at)}</span><Time at={of.opened_at} /></>}
    />
  );
}

/** How far a download is, in words; what is not known is not made up. */
export function far(job: Job): string {
  if (!isOpenJob(job)) return [job.bytes !== null && bytes(job.bytes), job.message].filter(Boolean).join(" · ");
  return [
    job.percent === null ? job.state === "processing" && w.unknown : `${number(job.percent)} %`,
    job.bytes !== null && (job.total === null ? w.sofar(bytes(job.bytes)) : c.of(bytes(job.bytes), bytes(job.total))),
    job.stalled_since ? w.still(relative(job.stalled_since)) : job.rate !== null && `${bytes(job.rate)}/s`,
    !job.stalled_since && job.eta_s !== null && c.left(duration(job.eta_s)),
    job.attempt > 1 && `${c.attempt.toLowerCase()} ${job.attempt}`,
  ].filter(Boolean).join(" · ");
}

/** The bar of a download. */
export const JobProgress = ({ of }: { of: Job }): JSX.Element =>
  <Progress percent={of.percent} label={of.name ?? of.id} still={of.state === "queued" || of.stalled_since !== null} />;

export function JobThing({ of }: { of: Job }): JSX.Element {
  return (
    <Thing
      href={`/downloads/${of.id}`} state={jobState(of)} name={of.name ?? of.id} of={of.path ? fileName(of.path).folder : ""}
      doing={<span class="far">{of.state === "processing" && <JobProgress of={of} />}<span class="cut-off">{far(of)}</span></span>}
      end={<><span>{lasting(of.created_at, of.ended_at)}</span><Time at={of.ended_at ?? of.created_at} /></>}
    />
  );
}
