// Texts in English and Spanish, side by side where they are used: one that lacks a language does not compile.

import { language } from "./prefs";

type Text = string | ((...values: never[]) => string);
type Pair = readonly [Text, Text];

/** The texts of a page, each in the language that is chosen when it is read. */
export function words<const T extends Record<string, Pair>>(pairs: T): { readonly [K in keyof T]: Widen<T[K][0]> } {
  const texts = {};
  for (const [name, pair] of Object.entries(pairs)) {
    Object.defineProperty(texts, name, { enumerable: true, get: () => pair[language.value === "es" ? 1 : 0] });
  }
  return texts as { readonly [K in keyof T]: Widen<T[K][0]> };
}

/** The text of a name that comes from elsewhere; one without a text stands for itself. */
export const wordOf = (texts: Readonly<Record<string, string>>, name: string): string =>
  Object.hasOwn(texts, name) ? texts[name]! : name.replaceAll("_", " ");

type Widen<T> = T extends string ? string : T;
