// One notification, as the panel and the page show it.

import type { JSX } from "preact";
import * as api from "../api";
import type { Listed } from "../list";
import { can } from "../store";
import type { Notification } from "../types";
import { words } from "../words";
import { Button, Empty, Time } from "./basics";
import { Mark, stateWord, tone } from "./status";

const w = words({
  read: ["Mark as read", "Marcar como leído"],
  unread: ["unread", "sin leer"],
  story: ["Its story", "Su historia"],
  readAll: ["Mark all as read", "Marcar todo como leído"],
  clear: ["Clear", "Borrar"],
  none: ["Nothing to read", "Nada que leer"],
  noneMore: ["What happens is told here, and kept.", "Lo que ocurra se cuenta y se guarda aquí."],
});

/** What may be done with all of them at once. */
export function Tidy({ list, small }: { list: Listed<Notification>; small?: boolean }): JSX.Element {
  const all = async (how: string): Promise<void> => {
    await api.post(`notifications/${how}`);
    list.reload();
  };
  return (
    <>
      <Button act={() => all("read_all")} role="operator" kind="quiet" icon="check" small={small}>{w.readAll}</Button>
      <Button act={() => all("clear")} role="operator" kind="quiet" icon="trash" small={small}>{w.clear}</Button>
    </>
  );
}

/** Nothing was told. */
export const NoNotice = (): JSX.Element => <Empty icon="bell" title={w.none}>{w.noneMore}</Empty>;

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
      <Mark tone={tone(item.level)} size={16} />
      <div class="grow">
        <header class="row spread">
          <p class="notice-title wrap">
            <span class="hidden">{stateWord(item.level)}{item.read ? "" : `, ${w.unread}`}: </span>
            {plain(item.title)}
          </p>
          <span class="soft small-text"><Time at={item.at} /></span>
        </header>
        <p class="notice-text wrap clamp">{item.text}</p>
        <footer class="row">
          {item.kind === "incident" && <a class="link small-text" href={`/incidents/${item.id}`}>{w.story}</a>}
          {!item.read && can("operator") && <Button act={read} small kind="quiet" icon="check">{w.read}</Button>}
        </footer>
      </div>
    </article>
  );
}
