// What the system showed before and after a repair, side by side.

import type { JSX } from "preact";
import { c } from "../../common";
import { bytes } from "../../format";
import { Facts as FactList } from "../../ui/basics";
import { stateWord, strategyName } from "../../ui/status";
import { wordOf, words } from "../../words";

/** What was looked at for each strategy. */
export type Seen = Record<string, Record<string, unknown> | undefined>;

const w = words({
  before: ["Before", "Antes"],
  after: ["After", "Después"],
  exists: ["is there", "existe"],
  verdict: ["verdict", "veredicto"],
  shows: ["shows", "muestra"],
  size: ["size", "tamaño"],
  bytes: ["bytes", "bytes"],
  owner: ["owner", "propietario"],
  group: ["group", "grupo"],
  mode: ["mode", "modo"],
  free_bytes: ["free", "libre"],
  need_bytes: ["needed", "necesario"],
  http_status: ["HTTP answer", "respuesta HTTP"],
});

/** The order in which facts are read; others follow as they come. */
const ORDER = ["exists", "verdict", "shows", "size", "owner", "group", "mode"];
/** What says nothing about a repair, or stands in the heading. */
const LEFT_OUT = ["path", "server", "kind", "links", "connect_ms"];

type Facts = Record<string, unknown> | undefined;

function shown(name: string, value: unknown): string {
  if (value === undefined || value === null) return "–";
  if (typeof value === "boolean") return value ? c.yes : c.no;
  if (typeof value === "number" && /size|bytes$/.test(name)) return bytes(value);
  return name === "verdict" ? stateWord(String(value)) : String(value);
}

/** The facts that are plain to read, each with its word; the rest stands in the records. */
const facts = (...of: Facts[]): [string, string][] =>
  [...new Set([...ORDER, ...of.flatMap((one) => Object.keys(one ?? {}))])]
    .filter((name) => !LEFT_OUT.includes(name) && of.some((one) => one?.[name] !== undefined && typeof one[name] !== "object"))
    .map((name) => [name, wordOf(w, name)]);

/** What was looked at is there, unless it says that it is not. */
const there = (one: Facts): Facts => (one && "size" in one ? { exists: true, ...one } : one);

/** For each thing that was touched: as it was before the first step, and as it is after the last. */
export function Proof({ of: { steps, before, after } }: { of: { steps: { strategy: string }[]; before: Seen; after: Seen } }): JSX.Element {
  const things = new Map<string, [Facts, Facts]>();
  for (const { strategy } of steps) {
    const [old, fresh] = [there(before[strategy]), there(after[strategy])];
    const about = String(fresh?.path ?? old?.path ?? fresh?.server ?? old?.server ?? strategyName(strategy));
    const known = things.get(about);
    things.set(about, [known ? known[0] : old, fresh ?? known?.[1]]);
  }
  return (
    <>
      {[...things].map(([about, [old, fresh]]) => (
        <table class="proof" key={about}>
          <caption>{about}</caption>
          <thead><tr><td /><th scope="col">{w.before}</th><th scope="col">{w.after}</th></tr></thead>
          <tbody>
            {facts(old, fresh).map(([name, word]) => (
              <tr key={name}>
                <th scope="row">{word}</th>
                <td>{shown(name, old?.[name])}</td>
                <td class={old?.[name] === fresh?.[name] ? undefined : "new"}>{shown(name, fresh?.[name])}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </>
  );
}

/** Facts of one moment, closed until somebody asks: by strategy, or plain. */
export function Evidence({ label, of }: { label: string; of: Facts | null }): JSX.Element | null {
  if (!of) return null;
  const parts = Object.values(of);
  const flat = parts.every((one) => one !== null && typeof one === "object") ? (Object.assign({}, ...parts) as Record<string, unknown>) : of;
  const found = facts(flat);
  if (found.length === 0) return null;
  return (
    <details>
      <summary>{label}</summary>
      <FactList of={found.map(([name, word]) => [word, shown(name, flat[name])])} />
    </details>
  );
}
