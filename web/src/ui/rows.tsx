// A long list of which only the rows in sight exist. It scrolls with the page, so a phone's browser behaves as always.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Listed } from "../list";
import { here } from "../router";
import { Loaded } from "./basics";
import { NoMatch } from "./filters";

/** Rows kept above and below what is seen: a quick scroll does not show holes. */
const SPARE = 12;

interface Props<T> {
  items: T[];
  /** The height of every row, in pixels. */
  height: number;
  row: (item: T, index: number) => ComponentChildren;
  label: string;
  /** Called when the end comes into sight. */
  more?: (() => void) | undefined;
}

export function Rows<T extends { id: string }>({ items, height, row, label, more }: Props<T>): JSX.Element {
  const list = useRef<HTMLUListElement>(null);
  const first = useSignal(0);
  const count = useSignal(Math.ceil(innerHeight / height) + 2 * SPARE);
  const moved = (): void => {
    const box = list.current?.getBoundingClientRect();
    if (!box) return;
    const top = Math.max(0, Math.floor(-box.top / height) - SPARE);
    first.value = Math.max(0, Math.min(top, items.length));
    count.value = Math.ceil(innerHeight / height) + 2 * SPARE;
    if (more && top + count.value >= items.length) more();
  };
  useLayoutEffect(moved, [items.length, more]);
  useEffect(() => {
    addEventListener("scroll", moved, { passive: true });
    addEventListener("resize", moved);
    return () => {
      removeEventListener("scroll", moved);
      removeEventListener("resize", moved);
    };
  });
  const seen = items.slice(first.value, first.value + count.value);
  return (
    <ul ref={list} class="rows" aria-label={label} style={{ height: `${items.length * height}px` }}>
      {seen.map((item, at) => {
        const index = first.value + at;
        return (
          <li
            key={item.id}
            style={{ height: `${height}px`, transform: `translateY(${index * height}px)` }}
            aria-setsize={more ? -1 : items.length}
            aria-posinset={index + 1}
          >
            {row(item, index)}
          </li>
        );
      })}
    </ul>
  );
}

/** A list of the agent's; `items`: what of it is shown. Nothing is said as it is: nothing matches, or there is nothing yet. */
export function Listing<T extends { id: string }>({ list, items, none, ...rows }: Props<T> & {
  list: Pick<Listed<T>, "data" | "problem" | "more" | "next" | "reload">;
  none: ComponentChildren;
}): JSX.Element {
  return (
    <Loaded of={list} rows={10}>
      {() => items.length > 0 || list.more.value ? <Rows {...rows} items={items} more={list.more.value ? list.next : undefined} />
        : here.value.query.size > 0 ? <NoMatch />
        : none}
    </Loaded>
  );
}
