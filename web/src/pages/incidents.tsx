// What went wrong: the list, and one incident's story.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { query } from "../api";
import { c } from "../common";
import { useList } from "../list";
import { asked, askedId } from "../router";
import { isOpenIncident, isUnhealed } from "../store";
import type { Incident } from "../types";
import { Empty, Panel } from "../ui/basics";
import { Filter, Pick, Source, sourcesOf } from "../ui/filters";
import { Listing } from "../ui/rows";
import { CLASSES, className, stateWord } from "../ui/status";
import { IncidentThing, THING_HIGH } from "../ui/things";
import { words } from "../words";
import Story from "./incidents/story";
import "./incidents.css";

const w = words({
  open: ["Open", "Abiertas"],
  "1h": ["Last hour", "Última hora"],
  "24h": ["Last 24 hours", "Últimas 24 horas"],
  "7d": ["Last 7 days", "Últimos 7 días"],
  none: ["Nothing has gone wrong", "No ha fallado nada"],
  noneMore: ["When something breaks, it is told here as it happens.", "Si algo falla, se cuenta aquí en el momento."],
});

const RESULTS = ["healed", "recovered", "not_confirmed", "alert_only", "exhausted", "refused", "cancelled", "interrupted"];
const HOURS: Record<string, number> = { "1h": 1, "24h": 24, "7d": 168 };

export default function Page(): JSX.Element {
  const id = askedId();
  return id ? <Story key={id} id={id} /> : <List />;
}

function List(): JSX.Element {
  const [state, kind, source, since] = [asked("state"), asked("class"), asked("source"), asked("since")];
  const from = useMemo(() => (HOURS[since] ? new Date(Date.now() - HOURS[since] * 3_600_000).toISOString() : ""), [since]);
  const list = useList<Incident>(query("incidents", { state, class: kind, source, since: from }), {
    topic: "incident",
    has: (one) =>
      (!state || (state === "open" ? isOpenIncident(one) : state === "unhealed" ? isUnhealed(one) : one.state === state)) &&
      (!kind || one.class === kind) && (!source || one.source === source) && one.opened_at >= from,
  });
  const items = list.data.value ?? [];
  return (
    <div class="page">
      <div class="toolbar">
        <Pick of={[["", c.all], ["open", w.open]]} />
        <Filter name="state" label={c.state} of={["open", ...RESULTS]} word={(one) => (one === "open" ? w.open : stateWord(one))} />
        <Filter name="class" label={c.kind} of={CLASSES} word={className} />
        <Source of={sourcesOf(items.slice(0, 500))} />
        <Filter name="since" label={c.time} of={Object.keys(HOURS)} word={(one) => w[one as "1h"]} />
      </div>
      <Panel flush>
        <Listing list={list} items={items} height={THING_HIGH} label={c.incidents} row={(of) => <IncidentThing of={of} />} none={<Empty icon="check" title={w.none}>{w.noneMore}</Empty>} />
      </Panel>
    </div>
  );
}
