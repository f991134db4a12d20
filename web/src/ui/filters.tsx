// Filters of lists. They live in the address, so that a link shows the same and going back works.

import type { JSX } from "preact";
import { c } from "../common";
import { ask, asked, go, here } from "../router";
import { health } from "../store";
import { Button, Choice, Empty, Search, Select } from "./basics";

type Named = readonly (readonly [string, string])[];

/** One of a few, under `name`. */
export function Pick({ name = "state", of }: { name?: string; of: Named }): JSX.Element {
  return <Choice label={c.show} value={asked(name)} of={of} pick={(value) => ask({ [name]: value })} />;
}

/** One of many, under `name`; none of them is `any`. */
export function Filter({ name, label, of, any = c.any(label), word = String }: {
  name: string;
  label: string;
  of: readonly string[];
  any?: string;
  word?: (one: string) => string;
}): JSX.Element {
  return <Select label={label} value={asked(name)} of={[["", any], ...of.map((one) => [one, word(one)] as const)]} pick={(value) => ask({ [name]: value })} />;
}

/** The log sources that are known: the agent's, those of what is shown, and the one that is asked for. */
export function sourcesOf(items: readonly { source: string }[]): string[] {
  const told = health.value?.sources ?? [];
  return [...new Set([...told.map((one) => one.name), ...items.map((one) => one.source), asked("source")])].filter(Boolean).sort();
}

/** One of the sources; a single one is no choice. */
export const Source = ({ of }: { of: string[] }): JSX.Element | null => (of.length > 1 ? <Filter name="source" label={c.source} of={of} /> : null);

/** Words to look for. */
export const Seek = (): JSX.Element => <Search label={c.search} value={asked("q")} seek={(q) => ask({ q })} />;

/** The filters let nothing through. */
export const NoMatch = (): JSX.Element => <Empty icon="search" title={c.noMatch}><Button act={() => go(here.value.path)}>{c.showAll}</Button></Empty>;
