// Operations: what runs and waits, what can be started, what was; and one of them with all that is known.

import type { ComponentChildren, JSX } from "preact";
import { signal, useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { useGet, useList, useOne } from "../list";
import { asked, askedId } from "../router";
import { isOpenOperation, operations } from "../store";
import type { Operation } from "../types";
import { Button, Empty, Facts, Panel, Time } from "../ui/basics";
import { Dialog } from "../ui/dialog";
import { Filter } from "../ui/filters";
import { useHeading } from "../ui/heading";
import { Listing, Rows } from "../ui/rows";
import { className, operationState, StateOf, stateWord } from "../ui/status";
import { lasting, Thing, THING_HIGH, Whole } from "../ui/things";
import { words } from "../words";
import { askedBy, Bar, facts, inOrder, priorities, replace, Steer, subjectName, Work, workHeight, workName } from "./operations/parts";
import "./operations.css";

const w = words({
  now: ["Now", "Ahora"],
  idle: ["Nothing runs and nothing waits", "Nada en marcha, nada en espera"],
  idleMore: ["Repairs begin by themselves. Maintenance you can start here.", "Las reparaciones empiezan solas. El mantenimiento lo puede iniciar aquí."],
  start: ["Start…", "Iniciar…"],
  startTitle: ["Start an operation", "Iniciar una operación"],
  begin: ["Start", "Iniciar"],
  before: ["History", "Historial"],
  none: ["Nothing was done yet", "Aún no se ha hecho nada"],
  repair: ["Repair", "Reparación"],
  custom: ["Your own command", "Comando propio"],
  cannot: ["This agent cannot do that.", "Este agente no puede hacerlo."],
  production: ["Refused: this agent runs in production.", "Rechazado: este agente está en producción."],
  scheduled: ["also runs by its schedule", "también se ejecuta según su horario"],
  libraryMore: ["Finds out which files there are, and what is in them.", "Averigua qué archivos hay y qué contienen."],
  thumbnailsMore: ["Makes a small picture of every video and image that has none.", "Crea una miniatura de cada vídeo e imagen que no la tenga."],
  integrityMore: ["Proves whether every file is whole. What is not becomes an incident.", "Comprueba que cada archivo esté íntegro. Lo que no, se convierte en incidencia."],
  backupMore: ["Saves the state and the configuration, with checksums.", "Guarda el estado y la configuración, con sumas de verificación."],
  testMore: ["Counts to 20 and does nothing else. Not in production.", "Cuenta hasta 20 y nada más. No en producción."],
  priority: ["Priority", "Prioridad"],
  by: ["Asked for by", "Pedida por"],
  created: ["Asked for", "Pedida"],
  runs: ["Begun", "Iniciada"],
  times: [(count: number) => (count === 1 ? "once" : `${count} times`), (count: number) => (count === 1 ? "una vez" : `${count} veces`)],
  interrupted: ["logmedic stopped in the middle of it", "logmedic se detuvo a mitad"],
  resumes: ["After a restart", "Tras un reinicio"],
  again: ["begins again", "empieza de nuevo"],
  notAgain: ["is marked as interrupted", "se marca como interrumpida"],
  input: ["Given", "Recibió"],
  exit: ["Exit code", "Código de salida"],
  report: ["What came of it", "Resultado"],
  output: ["The last lines it wrote", "Las últimas líneas que escribió"],
  noReport: ["There is no report yet.", "Aún no hay informe."],
});

const STATES = ["completed", "failed", "cancelled"] as const;
const KINDS = ["repair", "custom", "library", "thumbnails", "integrity", "backup", "test"] as const;
const kindWord = (kind: string): string => (kind === "repair" || kind === "custom" ? w[kind] : workName({ kind, name: kind }));

export default function Operations(): JSX.Element {
  const id = askedId();
  return id ? <One key={id} id={id} /> : <All />;
}

function All(): JSX.Element {
  const starting = useSignal(false);
  return (
    <div class="page">
      <Panel title={w.now} flush aside={<Button act={() => (starting.value = true)} icon="play" role="operator" small>{w.start}</Button>}>
        <Queue />
      </Panel>
      <History />
      {starting.value && <Start close={() => (starting.value = false)} />}
    </div>
  );
}

function Queue(): JSX.Element {
  const list = operations.value;
  const room = { minHeight: `${workHeight.value}px` };
  if (!list) return <div style={room} />;
  if (list.length === 0) return <p class="waits soft" style={room}><span>{w.idle}. {w.idleMore}</span></p>;
  return <Rows items={inOrder(list)} height={workHeight.value} label={w.now} row={(item) => <Work of={item} />} />;
}

/** What a start was refused for good with, by its path: it is not offered again while the page is open. */
const refusals = signal<Record<string, "cannot" | "production">>({});

function Start({ close }: { close: () => void }): JSX.Element {
  const commands = useGet<{ name: string; program: string; scheduled: boolean }[]>("operations/custom");
  const begin = async (path: string): Promise<void> => {
    try {
      await api.post(`operations/${path}`);
      close();
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      const cannot = error.code === "no_such_route" || error.status === 405;
      if (!cannot && error.code !== "refused_in_production") throw error;
      refusals.value = { ...refusals.value, [path]: cannot ? "cannot" : "production" };
    }
  };
  const item = (path: string, name: string, text: ComponentChildren): JSX.Element => {
    const refused = refusals.value[path];
    return (
      <li key={path} class="start">
        <h3 class="wrap">{name}</h3>
        <Button act={() => begin(path)} role="operator" disabled={refused !== undefined} small>{w.begin}</Button>
        <p class={refused && "warn-text"}>{refused ? w[refused] : text}</p>
      </li>
    );
  };
  return (
    <Dialog title={w.startTitle} close={close}>
      <ul>
        {(commands.data.value ?? []).map(({ name, program, scheduled }) =>
          item(`custom/${encodeURIComponent(name)}`, name, <><span class="mono wrap">{program}</span>{scheduled && ` · ${w.scheduled}`}</>))}
        {item("library/populate", kindWord("library"), w.libraryMore)}
        {item("thumbnails/regenerate", kindWord("thumbnails"), w.thumbnailsMore)}
        {item("integrity/verify", kindWord("integrity"), w.integrityMore)}
        {item("backup/create", kindWord("backup"), w.backupMore)}
        {item("test", kindWord("test"), w.testMore)}
      </ul>
    </Dialog>
  );
}

function History(): JSX.Element {
  const [state, kind] = [asked("state"), asked("kind")];
  const list = useList<Operation>(api.query("operations", { state, kind }), {
    topic: "operation",
    has: (item) => (!state || item.state === state) && (!kind || item.kind === kind),
  });
  const over = list.data.value?.filter((item) => !isOpenOperation(item)) ?? [];
  return (
    <Panel title={w.before} class="past" flush aside={
      <>
        <Filter name="state" label={c.state} of={STATES} word={stateWord} />
        <Filter name="kind" label={c.kind} of={KINDS} word={kindWord} />
      </>
    }>
      <Listing list={list} items={over} height={THING_HIGH} label={w.before} row={(of) => <Past of={of} />} none={<Empty icon="operations" title={w.none} />} />
    </Panel>
  );
}

function Past({ of }: { of: Operation }): JSX.Element {
  return (
    <Thing
      href={`/operations/${of.id}`} state={of.state} name={workName(of)} of={subjectName(of)} doing={of.report?.detail}
      end={<><span>{took(of)}</span><Time at={of.ended_at ?? of.created_at} /></>}
    />
  );
}

/** How long the last run was. */
const took = (of: Operation): string => (of.started_at && of.ended_at ? lasting(of.started_at, of.ended_at) : "–");

function One({ id }: { id: string }): JSX.Element {
  const got = useOne<Told>("operations", id, "operation");
  useHeading(got.data.value && workName(got.data.value));
  const changed = (item: Operation, from: Operation): void => {
    if (got.data.value === from) got.data.value = { ...from, ...item };
    replace(item, from);
  };
  return <Whole list="operations" of={got}>{(of) => <Known of={of} changed={changed} />}</Whole>;
}

interface Told extends Operation {
  /** What a command was given. */
  input?: unknown;
}

function Known({ of, changed }: { of: Told; changed: (item: Operation, from: Operation) => void }): JSX.Element {
  const { about, report, input } = of;
  return (
    <>
      <Panel title={<StateOf state={operationState(of)} />} aside={<Steer of={of} changed={changed} />}>
        {(isOpenOperation(of) || of.progress.percent !== null) && <Bar of={of} />}
        <p class="soft small-facts">{facts(of, false).join(" · ")}</p>
      </Panel>
      <div class="columns">
        <Panel>
          <Facts of={[
            [c.kind, kindWord(of.kind)],
            [w.priority, priorities[of.priority]],
            [w.by, <span class="wrap">{askedBy(of.by)}</span>],
            [w.created, <Time at={of.created_at} />],
            [c.began, <Time at={of.started_at} />],
            [c.ended, <Time at={of.ended_at} />],
            [c.took, took(of)],
            [w.runs, <>{w.times(of.runs)}{of.interrupted && <span class="warn-text"> · {w.interrupted}</span>}</>],
            [w.resumes, of.resume ? w.again : w.notAgain],
            about.subject && [c.subject, <span class="mono">{about.subject}</span>],
            about.incident && [c.incident, <a class="link" href={`/incidents/${about.incident}`}>{className(about.class ?? about.incident)}</a>],
            report?.exit_code !== undefined && [w.exit, report.exit_code],
            input !== undefined && input !== null && [w.input, <span class="mono">{JSON.stringify(input)}</span>],
          ]} />
        </Panel>
        <Panel title={w.report}>
          <p class={report ? "wrap" : "soft"}>{report?.detail ?? w.noReport}</p>
          {report?.output && (
            <>
              <h2 class="output-title">{w.output}</h2>
              <pre class="code output" tabIndex={0} aria-label={w.output}>{report.output.join("\n")}</pre>
            </>
          )}
        </Panel>
      </div>
    </>
  );
}
