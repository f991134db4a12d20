// Loads a page's code when it is first shown.

import type { ComponentType, JSX } from "preact";
import { signal } from "@preact/signals";
import { Loading } from "./basics";

/** A page that comes with a file of its own; once it is there it is shown at once. */
export function lazy(load: () => Promise<{ default: ComponentType }>): ComponentType {
  const page = signal<ComponentType | null>(null);
  let asked = false;
  const ask = (): void => {
    if (asked) return;
    asked = true;
    load().then(
      (found) => (page.value = found.default),
      // A new version was installed while this page was open: its files have other names now.
      () => location.reload(),
    );
  };
  return function Lazy(): JSX.Element {
    ask();
    const Page = page.value;
    return Page ? <Page /> : <div class="page"><Loading /></div>;
  };
}
