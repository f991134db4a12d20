// The lines that the page of logs holds: a bounded number of them, and which of them the filter lets through. Pure.

/** A line of a log. What the agent does not tell is `null`. */
export interface Line {
  /** Its place: greater is later. */
  n: number;
  at: string;
  source: string;
  text: string;
  level: string | null;
  class: string | null;
  rule: string | null;
  incident: string | null;
  /** The time of day, and how long the date is with which the text begins: found when it is drawn first. */
  clock?: string;
  stamp?: number;
}

export interface Sieve {
  source: string;
  /** At least so loud. */
  level: string;
  /** `any`: of some class. */
  class: string;
  q: string;
}

/** More nobody reads by scrolling. */
export const LINES_MAX = 100_000;

/** Characters of all lines: long ones must not fill a phone's memory. */
const CHARS_MAX = 32_000_000;

/** Levels from the loudest. */
export const LEVELS = ["error", "warning", "info", "debug"] as const;

/** A line says its level near its beginning. */
const LEVEL = /\b(CRITICAL|FATAL|PANIC|ERROR|WARN|INFO|DEBUG|TRACE)/;
const LEVEL_WITHIN = 100;
const SAME: Record<string, string> = { critical: "error", fatal: "error", panic: "error", warn: "warning", trace: "debug" };
const RANK: Record<string, number> = Object.fromEntries(LEVELS.map((level, rank) => [level, rank]));
/** Nothing is as quiet as a line without a level. */
const rank = (level: string | null): number => RANK[level ?? ""] ?? LEVELS.length;

const STAMP = /^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*(?: - | )?/;

/** How long the date is with which a line begins. */
export const stampOf = (text: string): number => STAMP.exec(text)?.[0].length ?? 0;

/** The level that a line itself tells. */
export function levelOf(text: string): string | null {
  const found = LEVEL.exec(text.slice(0, LEVEL_WITHIN))?.[1]?.toLowerCase();
  return found ? (SAME[found] ?? found) : null;
}

export class Book {
  /** Every line, oldest first. */
  all: Line[] = [];
  /** Those that the filter lets through. */
  seen: Line[] = [];
  #filter: Sieve = { source: "", level: "", class: "", q: "" };
  #chars = 0;
  #last = 0;
  #first = 0;

  #lets(line: Line): boolean {
    const { source, level, class: kind, q } = this.#filter;
    return (!source || line.source === source) && (!level || rank(line.level) <= rank(level)) && (!kind || (kind === "any" ? line.class !== null : line.class === kind)) && (!q || line.text.toLowerCase().includes(q));
  }

  /** Looks through all lines anew. */
  sift(filter: Sieve): void {
    this.#filter = { ...filter, q: filter.q.toLowerCase() };
    this.seen = this.all.filter((line) => this.#lets(line));
  }

  clear(): void {
    this.all = [];
    this.seen = [];
    this.#chars = 0;
  }

  /** Adds newer ones and drops the oldest above the limits: how many of those that are seen came, and went. */
  add(lines: Line[]): { came: number; went: number } {
    const before = this.seen.length;
    for (const line of lines) {
      line.n = ++this.#last;
      this.#chars += line.text.length;
      this.all.push(line);
      if (this.#lets(line)) this.seen.push(line);
    }
    const came = this.seen.length - before;
    let drop = 0;
    while (this.all.length - drop > LINES_MAX || (this.#chars > CHARS_MAX && drop < this.all.length - 1)) {
      this.#chars -= this.all[drop]?.text.length ?? 0;
      drop += 1;
    }
    if (drop === 0) return { came, went: 0 };
    this.all.splice(0, drop);
    const oldest = this.all[0]?.n ?? 0;
    const stays = this.seen.findIndex((line) => line.n >= oldest);
    const went = stays < 0 ? this.seen.length : stays;
    this.seen.splice(0, went);
    return { came, went };
  }

  /** Adds older ones, oldest first; how many of them are seen. The newest of them may have been heard already. */
  addOlder(lines: Line[], newest: boolean): number {
    if (newest && this.all.length > 0) {
      const known = new Set(this.all.map((line) => line.text));
      lines = lines.filter((line) => !known.has(line.text));
    }
    this.#first -= lines.length;
    lines.forEach((line, at) => {
      line.n = this.#first + at;
      this.#chars += line.text.length;
    });
    const seen = lines.filter((line) => this.#lets(line));
    this.all = [...lines, ...this.all];
    this.seen = [...seen, ...this.seen];
    return seen.length;
  }

  /** Whether older ones have room. */
  get hasRoom(): boolean {
    return this.all.length < LINES_MAX && this.#chars < CHARS_MAX;
  }
}
