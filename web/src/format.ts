// Times, sizes and numbers as people read them, in the language that is chosen.

import { signal } from "@preact/signals";
import { language } from "./prefs";

/** This moment, moved on once a second while the page is seen: relative times follow it. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1_000);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** "3 min ago", "in 2 h". */
export function relative(at: string | number, from = now.value): string {
  const seconds = ((typeof at === "number" ? at : Date.parse(at)) - from) / 1_000;
  const words = new Intl.RelativeTimeFormat(language.value, { style: "narrow", numeric: "auto" });
  if (Math.abs(seconds) < 1.5) return words.format(0, "second");
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return words.format(Math.trunc(seconds / length), unit);
  }
  return words.format(0, "second");
}

/** Date and time to the second, in this browser's time zone. */
export const exact = (at: string | number): string =>
  new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(at));

/** Only the time, to the second. */
export const clock = (at: string | number): string =>
  new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(new Date(at));

/** "1 h 4 min", "3.2 s". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${number(seconds, 1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.round((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.round((seconds % 86_400) / 3_600)} h`;
}

export const number = (value: number, digits = 0): string =>
  new Intl.NumberFormat(language.value, { maximumFractionDigits: digits }).format(value);

/** "2.0 MB": powers of ten, as disks and networks count. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 999.5 && unit < units.length - 1) {
    size /= 1_000;
    unit += 1;
  }
  return `${number(size, unit === 0 || Math.abs(size) >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** The last part of a path, and what is before it. */
export function fileName(path: string): { folder: string; name: string } {
  const at = path.lastIndexOf("/");
  return { folder: at > 0 ? path.slice(0, at) : "", name: path.slice(at + 1) };
}
