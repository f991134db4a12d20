// Which page is shown: the address, and nothing else.

import { signal } from "@preact/signals";

const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** Where we are. */
export const here = signal(read());

addEventListener("popstate", () => {
  here.value = read();
});

/** What is asked of this page under a name; nothing is "". */
export const asked = (name: string): string => here.value.query.get(name) ?? "";

/** What stands in the address behind the page's name: what of it is shown, by its id. */
export const askedId = (): string => decodeURIComponent(here.value.path.split("/")[2] ?? "");

/** Goes to another address of ours. */
export function go(to: string, how: { replace?: boolean } = {}): void {
  if (how.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  here.value = read();
  if (!how.replace) scrollTo(0, 0);
}

/** Changes what is asked of this page; an empty value is left out. */
export function ask(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  go(text ? `${location.pathname}?${text}` : location.pathname, { replace: true });
}

// A click upon a link of ours changes the page without loading everything anew.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.pathname.startsWith("/api/") || link.pathname === "/setup") return;
  event.preventDefault();
  if (link.href !== location.href) go(link.pathname + link.search);
});
