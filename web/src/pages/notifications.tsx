// Everything that people were told, with filters; what is silenced, and how it was delivered.

import type { JSX } from "preact";
import * as api from "../api";
import { c } from "../common";
import { number } from "../format";
import { useGet, useList } from "../list";
import { asked, here } from "../router";
import { unread } from "../store";
import type { Level, Notification } from "../types";
import { Button, Facts, Loaded, Panel, say, Time } from "../ui/basics";
import { Filter, NoMatch, Pick, Seek } from "../ui/filters";
import { NoNotice, Notice, Tidy } from "../ui/notice";
import { className, stateWord } from "../ui/status";
import { words } from "../words";

const w = words({
  unread: ["Unread", "Sin leer"],
  test: ["Send a test", "Enviar una prueba"],
  tested: ["A test was sent on every channel.", "Se envió una prueba por cada canal."],
  more: ["Older ones", "Más antiguos"],
  delivered: ["Delivery", "Entrega"],
  silences: ["Silenced", "Silenciado"],
  until: ["until", "hasta"],
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
  const [level, only, q] = [asked("level"), asked("unread"), asked("q").toLowerCase()];
  const list = useList<Notification>(api.query("notifications", { level, unread: only, search: q }), {
    topic: "notification",
    has: (item) => (!level || item.level === level) && (!only || !item.read) && (!q || `${item.title} ${item.text}`.toLowerCase().includes(q)),
  });
  const test = async (): Promise<void> => {
    await api.post("notifications/test", {});
    say(w.tested);
  };
  return (
    <div class="page">
      <div class="toolbar">
        <Pick name="unread" of={[["", c.all], ["true", `${w.unread} (${number(unread.value)})`]]} />
        <Seek />
        <Filter name="level" label={c.level} of={LEVELS} word={stateWord} />
        <span class="grow" />
        <Button act={test} role="operator" kind="quiet" icon="bell">{w.test}</Button>
        <Tidy list={list} />
      </div>
      <Panel flush>
        <Loaded of={list} rows={10}>
          {(items) => items.length > 0 ? items.map((item) => <Notice key={item.id} item={item} changed={list.put} />)
            : here.value.query.size > 0 ? <NoMatch /> : <NoNotice />}
        </Loaded>
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
  const word = (one: Counted): string => `${one.name} · ${stateWord(one.result ?? "")}`;
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
