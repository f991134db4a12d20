// What a person prefers in this browser: language, theme, sound.

import { effect, signal, type Signal } from "@preact/signals";

export type Language = "en" | "es";
export type Theme = "auto" | "light" | "dark";

function kept<T extends string>(name: string, choices: readonly T[], otherwise: T): Signal<T> {
  const key = `logmedic.${name}`;
  let found: string | null = null;
  try {
    found = localStorage.getItem(key);
  } catch {
    // Storage may be forbidden; then preferences last as long as the page.
  }
  const value = signal<T>(choices.find((choice) => choice === found) ?? otherwise);
  let first = true;
  effect(() => {
    const now = value.value;
    if (first) {
      first = false;
      return;
    }
    try {
      localStorage.setItem(key, now);
    } catch {
      // As above.
    }
  });
  return value;
}

export const language = kept<Language>("language", ["en", "es"], navigator.language.startsWith("es") ? "es" : "en");
export const theme = kept<Theme>("theme", ["auto", "light", "dark"], "auto");
export const sound = kept<"on" | "off">("sound", ["on", "off"], "off");

effect(() => {
  document.documentElement.lang = language.value;
});
effect(() => {
  document.documentElement.dataset.theme = theme.value;
});
