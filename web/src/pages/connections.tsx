// Connections: this page's own, who else is connected, and how the hub that tells everybody is.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { number } from "../format";
import { useGet, useReloadEvery } from "../list";
import * as live from "../live";
import { can } from "../store";
import type { Role, Topic } from "../types";
import { Button, Empty, Facts, Loading, Panel, Time, Trouble } from "../ui/basics";
import { Status, type Tone } from "../ui/status";
import { words } from "../words";
import "./connections.css";

const w = words({
  own: ["This page", "Esta página"],
  heard: ["Last heard", "Última noticia"],
  seq: ["Last message", "Último mensaje"],
  heartbeat: ["Sign of life", "Señal de vida"],
  every: [(seconds: number) => `every ${seconds} s`, (seconds: number) => `cada ${seconds} s`],
  replay: ["After a break", "Tras un corte"],
  messages: [(count: string) => `up to ${count} messages are made up for`, (count: string) => `se recuperan hasta ${count} mensajes`],
  test: ["Test broadcast", "Difusión de prueba"],
  testMore: [
    "Sends a message to everybody who is connected. It changes nothing. Refused in production.",
    "Envía un mensaje a todos los conectados. No cambia nada. Se rechaza en producción.",
  ],
  wait: ["Sent; waiting for it to arrive here…", "Enviado; esperando a que llegue aquí…"],
  arrived: [(ms: string) => `It arrived here after ${ms} ms.`, (ms: string) => `Llegó aquí en ${ms} ms.`],
  heardTest: [(who: string) => `${who} sent a test broadcast.`, (who: string) => `${who} envió una difusión de prueba.`],
  hub: ["Live messages", "Mensajes en directo"],
  connected: ["Connected", "Conectados"],
  sent: ["Copies delivered", "Copias entregadas"],
  broadcasts: ["Messages sent", "Mensajes enviados"],
  last: ["Last one", "El último"],
  waiting: ["Waiting now", "En espera ahora"],
  gaps: ["Full reloads", "Recargas completas"],
  lost: ["Dropped, too slow", "Descartados por lentitud"],
  errors: ["Broken connections", "Conexiones rotas"],
  who: ["Who is connected", "Quién está conectado"],
  operators: ["Operators and admins see who is connected.", "Los operadores y administradores ven quién está conectado."],
  unknown: ["This agent does not tell the connections one by one.", "Este agente no detalla las conexiones una a una."],
  nobody: ["Nobody is connected", "No hay nadie conectado"],
  since: ["connected", "conectado"],
});

interface Stats {
  connections: { total: number } & Record<Role, number>;
  users: string[];
  heartbeat_s: number;
  messages_sent: number;
  broadcasts: number;
  errors: number;
  gaps: number;
  lost: number;
  waiting: number;
  last_broadcast: string | null;
}

interface Info {
  seq: number;
  heartbeat_s: number;
  topics: Topic[];
  replay_max: number;
}

interface Client {
  id: string | number;
  account: string;
  role: Role;
  address?: string | null;
  since?: string;
  topics?: string[];
  rooms?: string[];
  /** What waits for it, in messages. */
  queued?: number;
}

/** The hub's figures are asked for so often: telling them to everybody would change them. */
const EVERY_MS = 3_000;

/** Who has more messages before it than this is slow. */
const SLOW = 20;

const STATES: Record<live.State, Tone> = { live: "good", connecting: "quiet", away: "bad" };

export default function Connections(): JSX.Element {
  const stats = useGet<Stats>("ws/stats");
  const clients = useGet<Client[]>(can("operator") ? "ws/clients" : null);
  useReloadEvery(EVERY_MS, () => {
    stats.reload();
    if (clients.data.value) clients.reload();
  });
  const found = stats.data.value;
  // Nobody knows how many are connected, so nothing stands below them before.
  if (!found || (can("operator") && !clients.data.value && !clients.problem.value)) {
    return <div class="page"><Panel>{stats.problem.value ? <Trouble problem={stats.problem.value} again={stats.reload} /> : <Loading rows={20} />}</Panel></div>;
  }
  return (
    <div class="page">
      <Panel title={w.who} flush><Who list={clients.data.value} users={found.users} /></Panel>
      <div class="columns tight">
        <Own />
        <Panel title={w.hub}><Hub of={found} /></Panel>
      </div>
      <Test />
    </div>
  );
}

function Own(): JSX.Element {
  const info = useGet<Info>("ws/info");
  const seq = useSignal<number | null>(null);
  const { data: { value: found } } = info;
  useEffect(() => {
    const ends = found?.topics.map((topic) => live.on(topic, (frame) => (seq.value = frame.seq)));
    return () => ends?.forEach((end) => end());
  }, [found]);
  const state = live.state.value;
  const heard = live.heardAt.value;
  const newest = seq.value ?? found?.seq;
  const rows: [string, ComponentChildren][] = [
    [c.state, <Status tone={STATES[state]}>{c[state]}</Status>],
    [w.heard, <Time at={heard === null ? null : new Date(heard).toISOString()} />],
    [w.seq, newest === undefined ? "–" : number(newest)],
    [w.heartbeat, found ? w.every(found.heartbeat_s) : "–"],
    [w.replay, found ? w.messages(number(found.replay_max)) : "–"],
  ];
  return <Panel title={w.own}><Facts of={rows} /></Panel>;
}

function Hub({ of }: { of: Stats }): JSX.Element {
  const roles = (["admin", "operator", "viewer"] as const).filter((role) => of.connections[role] > 0);
  return (
    <Facts of={[
      [w.connected, <>{number(of.connections.total)} <span class="soft">({roles.map((role) => `${of.connections[role]} × ${c[role]}`).join(", ")})</span></>],
      [w.broadcasts, number(of.broadcasts)],
      [w.sent, number(of.messages_sent)],
      [w.last, <Time at={of.last_broadcast} />],
      [w.waiting, number(of.waiting)],
      [w.lost, number(of.lost)],
      [w.gaps, number(of.gaps)],
      [w.errors, number(of.errors)],
    ]} />
  );
}

function Test(): JSX.Element {
  const begun = useSignal<{ mark: string; at: number } | null>(null);
  const text = useSignal("");
  useEffect(() => live.on("system", (frame) => {
    if (frame.type !== "test") return;
    const { message, by } = (frame.data ?? {}) as { message?: string; by?: string };
    const own = begun.value;
    if (own && message === own.mark) text.value = w.arrived(number(performance.now() - own.at, 1));
    else text.value = w.heardTest(by ?? "?");
  }), []);
  const send = async (): Promise<void> => {
    const mark = `test ${Math.random().toString(36).slice(2)}`;
    begun.value = { mark, at: performance.now() };
    text.value = w.wait;
    try {
      await api.post("ws/test_broadcast", { message: mark });
    } catch (error) {
      text.value = "";
      throw error;
    }
  };
  return (
    <Panel title={w.test} aside={<Button act={send} role="operator" small>{c.send}</Button>}>
      <p class="soft" role="status">{text.value || w.testMore}</p>
    </Panel>
  );
}

/** Without a list the agent is older than that: it tells only who. */
function Who({ list, users }: { list: Client[] | null; users: string[] }): JSX.Element {
  if (!can("operator")) return <Empty icon="account" title={w.operators} />;
  if (!list) return <Empty icon="connections" title={users.join(", ") || w.nobody}>{w.unknown}</Empty>;
  if (list.length === 0) return <Empty icon="connections" title={w.nobody} />;
  return (
    <ul class="entries clients">
      {list.map(({ id, account, role, address, since, topics = [], rooms = [], queued = 0 }) => {
        const hears = [...topics, ...rooms].join(", ");
        return (
          <li key={id}>
            <span class="who"><b class="cut-off">{account}</b><span class="chip">{c[role] ?? role}</span><span class="mono soft cut-off">{address}</span></span>
            <span class="hears cut-off soft" title={hears}>{hears}</span>
            <Status tone={queued > SLOW ? "warn" : "good"}>{queued > SLOW ? c.waiting(number(queued)) : c.current}</Status>
            <span class="soft end">{w.since} <Time at={since} /></span>
          </li>
        );
      })}
    </ul>
  );
}
