// The bell: how many are unread, and a panel to read, mark and clear them.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { c } from "../common";
import { useList } from "../list";
import { sound } from "../prefs";
import { arrived, can, unread } from "../store";
import type { Notification } from "../types";
import { words } from "../words";
import { Loaded } from "./basics";
import { Dialog } from "./dialog";
import { Icon } from "./icons";
import { chime } from "./chime";
import { NoNotice, Notice, Tidy } from "./notice";

const w = words({
  open: [(count: number) => `Notifications, ${count} unread`, (count: number) => `Avisos, ${count} sin leer`],
  page: ["All notifications", "Todos los avisos"],
});

export function Bell(): JSX.Element {
  const open = useSignal(false);
  const moved = useSignal(false);
  const seen = useRef<string | null>(null);
  const newest = arrived.value;
  useEffect(() => {
    const mark = newest && `${newest.id} ${newest.at}`;
    if (!newest || mark === seen.current) return;
    seen.current = mark;
    moved.value = true;
    if (sound.value === "on" && !newest.silent) chime(newest.level);
  }, [newest]);
  const count = unread.value;
  return (
    <>
      <button
        type="button"
        class={moved.value ? "bell moved" : "bell"}
        aria-haspopup="dialog"
        onAnimationEnd={() => (moved.value = false)}
        onClick={() => (open.value = true)}
      >
        <Icon name="bell" size={18} />
        <span class="hidden">{w.open(count)}</span>
        {count > 0 && <span class="badge" aria-hidden="true">{count > 99 ? "99+" : count}</span>}
      </button>
      {open.value && <Tray close={() => (open.value = false)} />}
    </>
  );
}

function Tray({ close }: { close: () => void }): JSX.Element {
  const list = useList<Notification>("notifications", { topic: "notification" });
  return (
    <Dialog title={c.notifications} close={close} side>
      {can("operator") && list.data.value?.[0] && <div class="tray-actions"><Tidy list={list} small /></div>}
      <Loaded of={list}>
        {(items) => items.length === 0 ? <NoNotice /> : (
          <div onClick={(event) => {
            if (event.target instanceof Element && event.target.closest("a")) close();
          }}>
            {items.slice(0, 30).map((item) => <Notice key={item.id} item={item} changed={list.put} />)}
          </div>
        )}
      </Loaded>
      <footer class="list-end"><a class="link" href="/notifications" onClick={close}>{w.page}</a></footer>
    </Dialog>
  );
}
