// One notification, as the panel and the page show it.

import type { JSX } from "preact";
import * as api from "../api";
import { can } from "../store";
import type { Notification } from "../types";
import { words } from "../words";
import { Button, Time } from "./basics";
import { levelTone, Mark, stateWord } from "./status";

const w = words({
  read: ["Mark as read", "Marcar como leído"],
  unread: ["unread", "sin leer"],
  story: ["Its story", "Su historia"],
});

/** Titles begin with a picture for messengers; here a mark stands before them. */
const plain = (title: string): string => title.replace(/^[\p{Extended_Pictographic}\uFE0F\u200D\s]+/u, "");

/** `changed` gets it as it is after a button. */
export function Notice({ item, changed }: { item: Notification; changed: (item: Notification) => void }): JSX.Element {
  const read = async (): Promise<void> => {
    changed({ ...item, read: true });
    try {
      await api.post(`notifications/${item.id}/read`);
    } catch (error) {
      changed(item);
      throw error;
    }
  };
  return (
    <article class={item.read ? "notice" : "notice new"}>
      <Mark tone={levelTone(item.level)} size={16} />
      <div class="grow">
        <header class="row spread">
          <p class="notice-title wrap">
            <span class="hidden">{stateWord(item.level)}{item.read ? "" : `, ${w.unread}`}: </span>
            {plain(item.title)}
          </p>
          <span class="soft small-text"><Time at={item.at} /></span>
        </header>
        <p class="notice-text wrap">{item.text}</p>
        <footer class="row">
          {item.kind === "incident" && <a class="link small-text" href={`/incidents/${item.id}`}>{w.story}</a>}
          {!item.read && can("operator") && <Button act={read} small kind="quiet" icon="check">{w.read}</Button>}
        </footer>
      </div>
    </article>
  );
}
