// One incident from its first line to the proof: what happened, what was done, what is asked of the reader.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../../api";
import { c } from "../../common";
import { clock, duration, exact, fileName, now, number } from "../../format";
import { useOne, useReloadOn } from "../../list";
import { language } from "../../prefs";
import { isOpenIncident, operations, session } from "../../store";
import type { Incident, Job } from "../../types";
import { Button, Facts, Panel, Progress, say, Time } from "../../ui/basics";
import { Dialog } from "../../ui/dialog";
import { useHeading } from "../../ui/heading";
import { className, incidentState, Mark, stateWord, strategyName, tone } from "../../ui/status";
import { lasting, Whole } from "../../ui/things";
import { wordOf, words } from "../../words";
import { Evidence, Proof, type Seen } from "./proof";

/** A repair that was begun. */
interface Attempt {
  action: string;
  strategy: string;
  attempt: number;
  attempts: number;
  delay_ms: number;
  started_at: string;
  ended_at: string | null;
  ok: boolean | null;
  /** Why it was begun. */
  reason: string;
  /** What came of it. */
  detail: string | null;
  before: Record<string, unknown>;
  after: Record<string, unknown> | null;
}

/** What stood around a line that a rule claimed. */
interface Context {
  which: "first" | "latest";
  at: string;
  source: string;
  file: string | null;
  offset: number;
  before: string[];
  event: { text: string; match: [number, number] | null };
  after: string[];
}

interface Told extends Incident {
  acknowledged: { by: string; at: string } | null;
  before: Seen;
  after: Seen;
  /** None is kept of old incidents. */
  contexts?: Context[];
  rule_info?: { pattern: string; about: string } | null;
  attempts?: Attempt[];
  records: unknown[];
  download: Job | null;
}

const w = words({
  retry: ["Retry", "Reintentar"],
  seen: ["Acknowledge", "Marcar como vista"],
  seenBy: [(who: string) => `Acknowledged by ${who}`, (who: string) => `Vista por ${who}`],
  silence: ["Silence", "Silenciar"],
  approve: ["Approve the repair", "Aprobar la reparación"],
  reject: ["Reject", "Rechazar"],
  said: ["the log says", "el registro dice"],
  more: [(count: string) => `${count} lines in all`, (count: string) => `${count} líneas en total`],
  latest: ["The latest line", "La última línea"],
  confirmed: ["confirmed by a look at the system", "confirmado al mirar el sistema"],
  attempt: [(at: number, of: number) => `attempt ${at} of ${of}`, (at: number, of: number) => `intento ${at} de ${of}`],
  waited: [(time: string) => `after a wait of ${time}`, (time: string) => `tras esperar ${time}`],
  next: ["next step", "siguiente paso"],
  until: ["without approval it ends", "sin aprobación termina"],
  evidence: ["Evidence", "Pruebas"],
  pattern: ["Its pattern", "Su patrón"],
  about: ["About", "Acerca de"],
  place: ["Where it stood", "Dónde estaba"],
  byte: [(at: string) => `from byte ${at}`, (at: string) => `desde el byte ${at}`],
  opened: ["Opened", "Abierta"],
  records: ["Records as JSON", "Anotaciones en JSON"],
  calm: ["Nothing is asked of you.", "No tiene que hacer nada."],
  askApproval: ["The repair begins when you approve it. Nothing has been touched so far.", "La reparación empieza cuando usted la apruebe. Aún no se ha tocado nada."],
  askMend: ["This needs you: mend the cause, then retry.", "Le necesita: corrija la causa y reintente."],
  silenceAsk: [(kind: string, of: string) => `No more notifications about “${kind}” of ${of} for a while.`, (kind: string, of: string) => `Sin avisos de «${kind}» sobre ${of} por un tiempo.`],
  silenceUntil: [(when: string) => `Until ${when}. Healing goes on.`, (when: string) => `Hasta ${when}. La reparación continúa.`],
  silenceFor: ["For", "Durante"],
  reason: ["Reason", "Motivo"],
  silenced: ["Silenced.", "Silenciado."],
});

/** What broke; `%` is the subject's name. */
const broke = words({
  timeout: ["% took too long to arrive", "% tardó demasiado en llegar"],
  permission: ["the bot was not allowed to save %", "el bot no tenía permiso para guardar %"],
  missing_path: ["the folder for % was missing", "faltaba la carpeta para %"],
  corrupt: ["% arrived damaged", "% llegó dañado"],
  disk_full: ["there was no room for %", "no había espacio para %"],
  server_down: ["the server failed: %", "falló el servidor: %"],
  rate_limited: ["the server asked to slow down: %", "el servidor pidió ir más despacio: %"],
  auth: ["the server refused access: %", "el servidor negó el acceso: %"],
  too_large: ["% is too large for the server", "% es demasiado grande para el servidor"],
  not_found: ["the server does not have %", "el servidor no tiene %"],
  conflict: ["something else holds %", "otro proceso ocupa %"],
  crash: ["the bot crashed: %", "el bot se cayó: %"],
});

/** What was done, when it went through. */
const done = words({
  redownload: ["it was downloaded again", "se descargó de nuevo"],
  restore_access: ["access was restored", "se restauraron los permisos"],
  create_directory: ["the directory was created", "se creó el directorio"],
  quarantine: ["the bad file was set aside", "se apartó el archivo dañado"],
  wait_for_server: ["the server came back", "el servidor volvió"],
  wait: ["the wait is over", "terminó la espera"],
  alert: ["you were told", "se le avisó"],
  restart_bot: ["the bot was restarted", "se reinició el bot"],
  command: ["the command ran", "se ejecutó el comando"],
});

/** Whether it is proven; `%` is how long it took. */
const ending = words({
  working: ["being repaired, % so far", "en reparación, van %"],
  held: ["waiting, % so far", "en espera, van %"],
  approval: ["the repair waits for your approval", "la reparación espera su aprobación"],
  healed: ["healed and proven in %", "reparado y comprobado en %"],
  recovered: ["it recovered by itself after %", "se recuperó sin ayuda tras %"],
  not_confirmed: ["the system shows no such fault, nothing was touched", "el sistema no muestra ese fallo, no se tocó nada"],
  alert_only: ["nothing was repaired, you were told", "no se reparó nada, se le avisó"],
  exhausted: ["not healed: every attempt was made in %", "sin reparar: se agotaron los intentos en %"],
  refused: ["not healed: logmedic may not repair this", "sin reparar: logmedic no tiene permiso para ello"],
  cancelled: ["ended by a person", "lo terminó una persona"],
  interrupted: ["cut off when logmedic stopped", "interrumpido al detenerse logmedic"],
});

const sentence = (of: Readonly<Record<string, string>>, key: string, value: string): string => wordOf(of, key).replace("%", () => value);

/** How long it took, or takes so far. */
const span = (one: Incident): string => lasting(one.opened_at, one.ended_at);

/** A name within a sentence: not endless, and without signs that would turn the words around it. The whole stands in the details. */
function named(name: string): string {
  const plain = [...name.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "")];
  return plain.length <= NAME_MAX ? plain.join("") : [...plain.slice(0, NAME_MAX - 16), "…", ...plain.slice(-15)].join("");
}
const NAME_MAX = 64;

function headline(story: Told): string {
  const name = story.subject.kind === "file" ? fileName(story.subject.value).name : story.subject.value;
  const steps = [...new Set(story.steps.filter((step) => step.ok).map((step) => sentence(done, step.strategy, "")))];
  const list = new Intl.ListFormat(language.value).format(steps);
  return [sentence(broke, story.class, named(name)), list, sentence(ending, incidentState(story), span(story))].filter(Boolean).join("; ") + ".";
}

export default function Story({ id }: { id: string }): JSX.Element {
  const got = useOne<Told>("incidents", id, "incident");
  const { data, reload } = got;
  useReloadOn("incident", reload, (frame) => (frame.data as Incident | null)?.id === id);
  useHeading(data.value && className(data.value.class).replace(/^./u, (letter) => letter.toUpperCase()));
  /** Shows at once what was asked for, and takes it back when it is refused. */
  const order = async (what: string, promise: Partial<Told>): Promise<void> => {
    const before = data.value;
    if (before) data.value = { ...before, ...promise };
    try {
      await api.post(`incidents/${id}/${what}`);
    } catch (error) {
      data.value = before;
      reload();
      throw error;
    }
  };
  return <Whole list="incidents" of={got}>{(story) => <Known story={story} order={order} />}</Whole>;
}

function Known({ story, order }: { story: Told; order: (what: string, promise: Partial<Told>) => Promise<void> }): JSX.Element {
  const silencing = useSignal(false);
  const state = incidentState(story);
  const open = isOpenIncident(story);
  const who = session.value.state === "in" ? session.value.me.account : "";
  const asks = state === "approval" || ["exhausted", "refused", "alert_only", "interrupted"].includes(state);
  const again: Partial<Told> = { state: "working", held_on: null, ended_at: null };
  const place = story.contexts?.[0];
  return (
    <>
      <header class="story-head">
        <h2><Mark tone={tone(state)} size={22} /><span class="wrap">{headline(story)}</span></h2>
        <span class="hidden" role="status">{stateWord(state)}</span>
        <div class={asks ? "story-asked" : "story-asked calm"}>
          <p class="wrap">{story.remedy ?? (state === "approval" ? w.askApproval : asks ? w.askMend : w.calm)}</p>
          <div class="toolbar">
            {state === "approval" && <>
              <Button act={() => order("approve", again)} kind="main" role="operator" icon="check">{w.approve}</Button>
              <Button act={() => order("reject", { state: "cancelled", held_on: null })} kind="danger" role="operator" icon="cross">{w.reject}</Button>
            </>}
            {state !== "working" && state !== "approval" && (
              <Button act={() => order("retry", again)} kind={asks ? "main" : undefined} role="operator" icon="retry">{w.retry}</Button>
            )}
            {!story.acknowledged && <Button act={() => order("acknowledge", { acknowledged: { by: who, at: new Date().toISOString() } })} role="operator" icon="check">{w.seen}</Button>}
            <Button act={() => (silencing.value = true)} role="operator" icon="mute">{w.silence}</Button>
            {story.acknowledged && <span class="soft">{w.seenBy(story.acknowledged.by)} · <Time at={story.acknowledged.at} /></span>}
          </div>
        </div>
      </header>
      <Panel title={c.happened}><TimeLine story={story} state={state} open={open} /></Panel>
      <Panel title={c.details}>
        <Facts of={[
          [c.subject, story.subject.value],
          [w.place, place ? `${place.source} · ${place.file ?? ""}, ${w.byte(number(place.offset))}` : story.source],
          [c.rule, <a class="link" href={`/rules?q=${encodeURIComponent(story.rule)}`}>{story.rule}</a>],
          story.rule_info && [w.pattern, <code class="wrap">{story.rule_info.pattern}</code>],
          story.rule_info && [w.about, story.rule_info.about],
          story.job && [c.download, <a class="link" href={`/downloads/${story.job}`}>{story.download?.name ?? story.job}</a>],
          [w.opened, exact(story.opened_at)],
          [c.ended, story.ended_at ? exact(story.ended_at) : "–"],
        ]} />
        <Records of={story.records} />
      </Panel>
      {silencing.value && <Silence story={story} close={() => (silencing.value = false)} />}
    </>
  );
}

/** As they are in the file; written out only when somebody opens them. */
function Records({ of }: { of: unknown[] }): JSX.Element {
  const open = useSignal(false);
  const text = useMemo(() => (open.value ? JSON.stringify(of, null, 1) : ""), [of, open.value]);
  return (
    <details onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{w.records} ({number(of.length)})</summary>
      <pre class="code" tabIndex={0}>{text}</pre>
    </details>
  );
}

const When = ({ at }: { at: string }): JSX.Element => <time dateTime={at} title={exact(at)}>{clock(at)}</time>;

function TimeLine({ story, state, open }: { story: Told; state: string; open: boolean }): JSX.Element {
  const { contexts = [], attempts = [] } = story;
  const look = attempts[0];
  return (
    <ol class="story">
      <li>
        <Mark tone="warn" size={16} />
        <h3>{w.said} <When at={story.opened_at} /></h3>
        {contexts.length > 0 ? contexts.map((context) => <Lines key={context.which} of={context} />) : <pre class="code" tabIndex={0}>{story.text}</pre>}
        {story.count > 1 && <p class="when">{w.more(number(story.count))} · <When at={story.last_at} /></p>}
      </li>
      {look && (
        <li>
          <Mark tone="warn" size={16} />
          <h3>{w.confirmed} <When at={look.started_at} /></h3>
          <p class="wrap">{look.reason}</p>
          <Evidence label={w.evidence} of={look.before} />
        </li>
      )}
      {attempts.map((one) => {
        const lasted = one.ended_at ? (Date.parse(one.ended_at) - Date.parse(one.started_at)) / 1_000 : 0;
        const parts = [
          one.attempts > 1 && w.attempt(one.attempt, one.attempts),
          one.delay_ms > 0 && w.waited(duration(one.delay_ms / 1_000)),
          lasted >= 0.1 && `${c.took.toLowerCase()} ${duration(lasted)}`,
        ].filter(Boolean);
        const running = !one.ended_at && operations.value?.find((operation) => operation.about.incident === story.id);
        return (
          <li key={one.action}>
            <Mark tone={!one.ended_at ? "busy" : one.ok ? "good" : "bad"} size={16} />
            <h3>{strategyName(one.strategy)} <When at={one.started_at} /></h3>
            <p class="when">{parts.join(" · ")}</p>
            <p class="wrap">{one.detail ?? one.reason}</p>
            {running && <Progress percent={running.progress.percent} label={strategyName(running.name)} />}
            <Evidence label={w.evidence} of={one.after} />
          </li>
        );
      })}
      <li>
        <Mark tone={tone(state)} size={16} />
        <h3>
          {story.due && open ? <>{state === "approval" ? w.until : w.next} <Time at={story.due} /></> : sentence(ending, state, span(story))}
          {story.ended_at && <> <When at={story.ended_at} /></>}
        </h3>
        <p class="wrap">{story.detail}</p>
        {!open && <Proof of={story} />}
      </li>
    </ol>
  );
}

/** What stood around the line, and in it what the rule matched. */
function Lines({ of: { which, before, event, after } }: { of: Context }): JSX.Element {
  const [from, to] = event.match ?? [0, 0];
  return (
    <>
      {which === "latest" && <p class="when">{w.latest}</p>}
      <pre class="code" tabIndex={0}>
        {before.map((line, at) => <span class="soft" key={at}>{line}</span>)}
        {event.text.slice(0, from)}{to > from && <mark>{event.text.slice(from, to)}</mark>}{event.text.slice(to)}
        {after.map((line, at) => <span class="soft" key={at}>{line}</span>)}
      </pre>
    </>
  );
}

const HOUR = 3_600;
const LENGTHS = [HOUR, 8 * HOUR, 24 * HOUR, 168 * HOUR, 720 * HOUR];

function Silence({ story, close }: { story: Told; close: () => void }): JSX.Element {
  const seconds = useSignal(HOUR);
  const reason = useSignal("");
  const send = async (): Promise<void> => {
    await api.post(`incidents/${story.id}/silence`, { seconds: seconds.value, reason: reason.value });
    close();
    say(w.silenced);
  };
  const unit = (value: number): string => {
    const days = value >= 24 * HOUR;
    return new Intl.NumberFormat(language.value, { style: "unit", unit: days ? "day" : "hour", unitDisplay: "long" }).format(value / (days ? 24 * HOUR : HOUR));
  };
  return (
    <Dialog title={w.silence} close={close}>
      <p class="wrap">{w.silenceAsk(className(story.class), story.subject.value)}</p>
      <label class="field">
        <span>{w.silenceFor}</span>
        <select value={seconds.value} onChange={(event) => (seconds.value = Number(event.currentTarget.value))}>
          {LENGTHS.map((value) => <option key={value} value={value}>{unit(value)}</option>)}
        </select>
        <span class="hint">{w.silenceUntil(exact(now.value + seconds.value * 1_000))}</span>
      </label>
      <label class="field">
        <span>{w.reason}</span>
        <input value={reason.value} maxLength={200} onInput={(event) => (reason.value = event.currentTarget.value)} />
      </label>
      <div class="actions"><Button act={send} kind="main" icon="mute">{w.silence}</Button></div>
    </Dialog>
  );
}
