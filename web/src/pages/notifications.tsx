// Everything that people were told, with filters; what is silenced, and how it was delivered.

import type { JSX } from "preact";
import * as api from "../api";
import { number } from "../format";
import { useGet, useList } from "../list";
import { ask, here } from "../router";
import { unread } from "../store";
import type { Level, Notification } from "../types";
import { Button, Choice, Empty, Facts, Loading, Panel, say, Search, Select, Time, Trouble } from "../ui/basics";
import { Notice } from "../ui/notice";
import { className, stateWord } from "../ui/status";
import { words } from "../words";

const w = words({
  shown: ["Shown", "Mostrar"],
  all: ["All", "Todos"],
  unread: ["Unread", "Sin leer"],
  level: ["Level", "Nivel"],
  anyLevel: ["Any level", "Cualquier nivel"],
  search: ["Search", "Buscar"],
  readAll: ["Mark all as read", "Marcar todos como leídos"],
  clear: ["Clear", "Borrar"],
  test: ["Send a test", "Enviar una prueba"],
  tested: ["A test was sent on every channel.", "Se envió una prueba por cada canal."],
  none: ["Nothing here", "No hay nada"],
  noneMore: ["What happens is told here, and kept.", "Lo que ocurra se cuenta y se guarda aquí."],
  more: ["Older ones", "Más antiguos"],
  delivered: ["Delivery", "Entrega"],
  silences: ["Silenced", "Silenciado"],
  until: ["until", "hasta"],
  week: ["By level, last days", "Por nivel, últimos días"],
  sent: ["sent", "enviados"],
  failed: ["failed", "fallidos"],
});

interface Counted {
  at: string;
  name: string;
  result?: string;
  count: number;
}
interface Stats {
  total: number;
  unread: number;
  levels: Counted[];
  classes: Counted[];
  deliveries: Counted[];
}
interface Silence {
  class: string;
  subject: string;
  account: string;
  reason: string;
  until: string;
}

const LEVELS: Level[] = ["info", "success", "warning", "error"];

export default function Notifications(): JSX.Element {
  const asked = here.value.query;
  const level = asked.get("level") ?? "";
  const only = asked.get("unread") ?? "";
  const search = asked.get("search") ?? "";
  const list = useList<Notification>(api.query("notifications", { level, unread: only, search }), {
    topic: "notification",
    has: (item) => (!level || item.level === level) && (!only || !item.read) && (!search || `${item.title} ${item.text}`.toLowerCase().includes(search.toLowerCase())),
  });
  const items = list.items.value;
  const all = async (): Promise<void> => {
    await api.post("notifications/read_all");
    list.reload();
  };
  const clear = async (): Promise<void> => {
    await api.post("notifications/clear");
    list.reload();
  };
  const test = async (): Promise<void> => {
    await api.post("notifications/test", {});
    say(w.tested);
  };
  return (
    <div class="page">
      <div class="toolbar">
        <Choice label={w.shown} value={only} of={[["", w.all], ["true", `${w.unread} (${number(unread.value)})`]]} pick={(value) => ask({ unread: value })} />
        <Select label={w.level} value={level} of={[["", w.anyLevel], ...LEVELS.map((one) => [one, stateWord(one)] as const)]} pick={(value) => ask({ level: value })} />
        <Search label={w.search} value={search} seek={(text) => ask({ search: text })} />
        <span class="grow" />
        <Button act={test} role="operator" kind="quiet" icon="bell">{w.test}</Button>
        <Button act={all} role="operator" kind="quiet" icon="check">{w.readAll}</Button>
        <Button act={clear} role="operator" kind="quiet" icon="trash">{w.clear}</Button>
      </div>
      <Panel flush>
        {list.problem.value && !items ? <Trouble problem={list.problem.value} again={list.reload} /> : items === null ? <Loading rows={10} /> : items.length === 0 ? (
          <Empty icon="bell" title={w.none}>{w.noneMore}</Empty>
        ) : (
          items.map((item) => <Notice key={item.id} item={item} changed={list.put} />)
        )}
        {list.more.value && <div class="list-end"><Button act={list.next} kind="quiet">{w.more}</Button></div>}
      </Panel>
      <div class="columns">
        <Delivery />
        <Silences />
      </div>
    </div>
  );
}

function Delivery(): JSX.Element | null {
  const { data } = useGet<Stats>("notifications/stats");
  if (!data.value) return null;
  const sums = (of: Counted[], key: (one: Counted) => string): [string, string][] => {
    const counts = new Map<string, number>();
    for (const one of of) counts.set(key(one), (counts.get(key(one)) ?? 0) + one.count);
    return [...counts].map(([name, count]) => [name, number(count)]);
  };
  const word = (one: Counted): string => `${one.name} · ${one.result === "sent" ? w.sent : one.result === "failed" ? w.failed : (one.result ?? "")}`;
  return (
    <Panel title={w.delivered}>
      <Facts of={[...sums(data.value.deliveries, word), ...sums(data.value.levels, (one) => stateWord(one.name))]} />
    </Panel>
  );
}

function Silences(): JSX.Element | null {
  const { data } = useGet<Silence[]>("notifications/silences");
  const found = data.value;
  if (!found || found.length === 0) return null;
  return (
    <Panel title={w.silences}>
      <Facts of={found.map((one) => [`${className(one.class)}: ${one.subject}`, <>{one.reason} <span class="soft">{one.account} · {w.until} <Time at={one.until} /></span></>])} />
    </Panel>
  );
}
