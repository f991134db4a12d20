// How the connection is: a dot and words in the head, a banner when what is shown may be old.

import type { JSX } from "preact";
import { c } from "../common";
import { duration, now, relative } from "../format";
import * as live from "../live";
import { words } from "../words";
import { Icon } from "./icons";

const w = words({
  updated: [(when: string) => `updated ${when}`, (when: string) => `actualizado ${when}`],
  stale: ["No connection: what you see may be old. It comes back by itself.", "Sin conexión: lo que ve puede ser antiguo. Vuelve por sí sola."],
});

/** Away for so long, people are told: most connections are back before that. */
const TOLD_MS = 2_000;

export function Pulse(): JSX.Element {
  const state = live.state.value;
  const heard = live.heardAt.value;
  const text = c[state];
  const when = heard === null ? "" : w.updated(relative(heard, Math.max(now.value, heard)));
  return (
    <span class={`pulse ${state}`} title={when}>
      <span class="dot" />
      <span class="hidden">{text}</span>
      <span class="words" aria-hidden="true">{state === "live" && when ? `${text} · ${when}` : text}</span>
    </span>
  );
}

export function Stale(): JSX.Element | null {
  const since = live.awaySince.value;
  const time = since === null ? 0 : now.value - since;
  if (since === null || time < TOLD_MS) return null;
  return (
    <p class="stale" role="alert">
      <Icon name="clock" />
      {w.stale}
      <span aria-hidden="true">{duration(Math.round(time / 1_000))}</span>
    </p>
  );
}
