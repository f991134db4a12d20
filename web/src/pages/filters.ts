// What the filters of several pages share: their choices.

import { health } from "../store";

/** Choices for a `Select`: none first, then each name with its word. */
export const choices = (names: readonly string[], none: string, word: (name: string) => string = String): [string, string][] => [
  ["", none],
  ...names.map((name): [string, string] => [name, word(name)]),
];

/** The log sources that are known: the agent's, those of what is shown, and the one that is asked for. */
export function sourcesOf(items: readonly { source: string }[], asked: string): string[] {
  const told = (health.value as { sources?: { name: string }[] } | null)?.sources ?? [];
  return [...new Set([...told.map((one) => one.name), ...items.map((one) => one.source), asked])].filter(Boolean).sort();
}
