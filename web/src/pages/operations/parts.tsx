// What the pages say of an operation, and the buttons that steer it.

import type { JSX } from "preact";
import { signal, useSignal } from "@preact/signals";
import * as api from "../../api";
import { c } from "../../common";
import { bytes, duration, fileName, number } from "../../format";
import { isOpenOperation, operations } from "../../store";
import type { Operation, OperationState } from "../../types";
import { Button, Progress } from "../../ui/basics";
import { Dialog } from "../../ui/dialog";
import { operationState, StateOf, strategyName } from "../../ui/status";
import { wordOf, words } from "../../words";

const kinds = words({
  library: ["Index the library", "Indexar la biblioteca"],
  thumbnails: ["Make thumbnails", "Crear miniaturas"],
  integrity: ["Verify the files", "Verificar los archivos"],
  backup: ["Backup", "Copia de seguridad"],
  test: ["Test operation", "Operación de prueba"],
});

export const priorities = words({
  low: ["low", "baja"],
  normal: ["normal", "normal"],
  high: ["high", "alta"],
  critical: ["critical", "crítica"],
});

const w = words({
  items: [(count: string) => `${count} items`, (count: string) => `${count} elementos`],
  perSecond: [(amount: string) => `${amount}/s`, (amount: string) => `${amount}/s`],
  done: [(count: string) => `${count} done`, (count: string) => `${count} hechos`],
  by: [(who: string) => `asked by ${who}`, (who: string) => `pedida por ${who}`],
  engine: ["logmedic itself", "el propio logmedic"],
  schedule: ["the schedule", "el horario"],
  sure: ["Cancel this operation?", "¿Cancelar esta operación?"],
  sureMore: [
    (time: string) => `It has been running for ${time}. What is done stays done; the rest is not done.`,
    (time: string) => `Lleva ${time} en marcha. Lo hecho queda hecho; el resto no se hará.`,
  ],
  keep: ["Let it run", "Dejarla seguir"],
});

/** Cancelling what ran for so long is asked twice. */
const LONG_MS = 30_000;

/** What is done, without what it is done to. A command has the name that the configuration gives it. */
export function workName({ kind, name }: Pick<Operation, "kind" | "name">): string {
  if (kind === "repair") {
    const text = strategyName(name);
    return text.charAt(0).toUpperCase() + text.slice(1);
  }
  return Object.hasOwn(kinds, kind) ? wordOf(kinds, kind) : name;
}

/** The file that it is about, where there is one. */
export const subjectName = ({ about }: Operation): string => (about.subject ? fileName(about.subject).name : "");

/** Who asked for it, in words. */
export const askedBy = (by: string): string => (by === "engine" ? w.engine : by === "schedule" ? w.schedule : by);

/** How far, how fast, how long still, what came of it, what it costs: as far as it is known. */
export function facts({ progress, by, state }: Operation, withWho = true): string[] {
  const { unit, done, total, per_second, eta_s, succeeded, failed, message, usage } = progress;
  const size = (value: number): string => (unit === "bytes" ? bytes(value) : number(value, 1));
  const counted = [done, total].filter((value) => value !== null).map(size).join(" / ");
  const moves = state === "running";
  return [
    counted && (unit === "bytes" ? counted : w.items(counted)),
    moves && per_second !== null && w.perSecond(size(per_second)),
    moves && eta_s !== null && c.left(duration(Math.round(eta_s))),
    succeeded !== null && w.done(number(succeeded)),
    failed !== null && failed > 0 && c.failed(number(failed)),
    moves && usage && `CPU ${number(usage.cpu_percent)} %`,
    moves && usage && bytes(usage.memory_bytes),
    withWho && w.by(askedBy(by)),
    message,
  ].filter((one): one is string => Boolean(one));
}

export function Bar({ of }: { of: Operation }): JSX.Element {
  const { percent } = of.progress;
  const still = of.state !== "running";
  return (
    <span class="row">
      <span class="grow"><Progress percent={percent ?? (still ? 0 : null)} label={c.progress} still={still} /></span>
      <span class="percent">{percent === null ? "–" : `${Math.floor(percent)} %`}</span>
    </span>
  );
}

type Order = "pause" | "resume" | "cancel";

/** Pause, resume, cancel: what was asked is shown at once, and taken back when it is refused. */
export function Steer({ of, changed }: { of: Operation; changed: (item: Operation, from: Operation) => void }): JSX.Element | null {
  const sure = useSignal(false);
  if (!isOpenOperation(of)) return null;
  const order = async (verb: Order): Promise<void> => {
    sure.value = false;
    const promised: Operation = verb === "resume" ? { ...of, state: "pending", wish: null } : { ...of, wish: verb };
    changed(promised, of);
    try {
      changed(await api.post<Operation>(`operations/${of.id}/${verb}`), promised);
    } catch (error) {
      changed(of, promised);
      throw error;
    }
  };
  const ran = of.started_at ? Date.now() - Date.parse(of.started_at) : 0;
  const wished = of.wish !== null;
  const rests = of.state === "paused";
  return (
    <span class="row steer">
      {rests
        ? <Button key="resume" act={() => order("resume")} icon="play" label={c.resume} role="operator" disabled={wished} small />
        : of.pausable && <Button key="pause" act={() => order("pause")} icon="pause" label={c.pause} role="operator" disabled={wished} small />}
      <Button
        act={() => (ran > LONG_MS ? void (sure.value = true) : order("cancel"))}
        icon="cross"
        label={c.cancel}
        role="operator"
        kind="danger"
        disabled={of.wish === "cancel"}
        small
      />
      {sure.value && (
        <Dialog title={w.sure} close={() => (sure.value = false)}>
          <p>{w.sureMore(duration(ran / 1_000))}</p>
          <div class="actions">
            <Button act={() => (sure.value = false)}>{w.keep}</Button>
            <Button act={() => order("cancel")} kind="danger" icon="cross">{c.cancel}</Button>
          </div>
        </Dialog>
      )}
    </span>
  );
}

/** Takes `item` over where `from` is still shown: what came in between is newer. */
export function replace(item: Operation, from: Operation): void {
  const list = operations.value;
  if (list?.includes(from)) operations.value = list.map((one) => (one === from ? item : one)).filter(isOpenOperation);
}

const narrow = matchMedia("(max-width: 40rem)");
const high = (): number => (narrow.matches ? 124 : 64);
/** The height of `Work`: three lines on a phone, two on a desk. */
export const workHeight = signal(high());
narrow.addEventListener("change", () => (workHeight.value = high()));

/** One that is not over: what it is, how far, and its buttons. */
export function Work({ of }: { of: Operation }): JSX.Element {
  const line = facts(of).join(" · ");
  return (
    <div class="work">
      <span class="row what">
        <StateOf state={operationState(of)} />
        <a class="cut-off name" href={`/operations/${of.id}`}>{workName(of)}</a>
        <span class="cut-off file" title={of.about.subject}>{subjectName(of)}</span>
        {of.priority !== "normal" && <span class="chip">{priorities[of.priority]}</span>}
      </span>
      <span class="far"><Bar of={of} /></span>
      <span class="cut-off facts-line" title={line}>{line}</span>
      <Steer of={of} changed={replace} />
    </div>
  );
}

/** Running first, then what rests, then what waits by its priority; each in the order in which it came. */
export function inOrder(list: Operation[]): Operation[] {
  const states: OperationState[] = ["running", "paused", "pending"];
  const urgency = ["critical", "high", "normal", "low"];
  const rank = (one: Operation): number => states.indexOf(one.state) * 4 + (one.state === "pending" ? urgency.indexOf(one.priority) : 0);
  return list.toSorted((a, b) => rank(a) - rank(b) || (a.id < b.id ? -1 : 1));
}
