// How full a disk is, what limit it has, and where that leads.

import type { JSX } from "preact";
import { bytes, relative } from "../format";
import type { Disk } from "../types";
import { words } from "../words";
import { Mark, Status, type Tone } from "./status";

const w = words({
  free: [(free: string, total: string) => `${free} free of ${total}`, (free: string, total: string) => `${free} libres de ${total}`],
  unknown: ["It does not answer.", "No responde."],
  limit: [(size: string) => `limit ${size}`, (size: string) => `límite ${size}`],
  less: [(size: string) => `${size} less every hour`, (size: string) => `${size} menos cada hora`],
  more: [(size: string) => `${size} more every hour`, (size: string) => `${size} más cada hora`],
  steady: ["hardly changes", "apenas cambia"],
  full: [(when: string) => `full ${when} if it goes on`, (when: string) => `lleno ${when} si sigue así`],
});

/** A disk that is full sooner than this needs somebody. */
const NEAR_MS = 3 * 86_400_000;

export function Room({ of: { name, free_bytes, total_bytes, min_free_bytes, change_bytes_per_hour, full_at } }: { of: Disk }): JSX.Element {
  if (free_bytes === null || !total_bytes) return <><h3 class="wrap">{name}</h3><Status tone="warn">{w.unknown}</Status></>;
  const tone: Tone = free_bytes < min_free_bytes ? "bad" : full_at && Date.parse(full_at) - Date.now() < NEAR_MS ? "warn" : "good";
  const share = (part: number): string => `${Math.min(100, Math.max(0, (part / total_bytes) * 100))}%`;
  const text = w.free(bytes(free_bytes), bytes(total_bytes));
  const change = change_bytes_per_hour;
  return (
    <>
      <h3 class="wrap"><Mark tone={tone} /> {name}</h3>
      <div class={`room tone-${tone}`} role="img" aria-label={text}>
        <div class="used" style={{ width: share(total_bytes - free_bytes) }} />
        <span class="limit" style={{ left: `calc(${share(total_bytes - min_free_bytes)} - 2px)` }} />
      </div>
      <p class="disk-facts">
        <span>{text}</span>
        <span>{w.limit(bytes(min_free_bytes))}</span>
        {change !== null && <span>{Math.abs(change) < total_bytes / 10_000 ? w.steady : w[change > 0 ? "more" : "less"](bytes(Math.abs(change)))}</span>}
        {full_at && <span class="warn-text">{w.full(relative(full_at))}</span>}
      </p>
    </>
  );
}
