// A page may give its own heading: the name of what it shows.

import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";

export const heading = signal<string | null>(null);

/** Sets the heading while a component is shown. */
export function useHeading(text: string | null): void {
  useEffect(() => {
    heading.value = text;
    return () => {
      heading.value = null;
    };
  }, [text]);
}
