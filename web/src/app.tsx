// The frame around every page: where one can go, how the connection is, what is unread.

import type { ComponentType, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { Bell } from "./ui/bell";
import { Button, Empty, Toasts } from "./ui/basics";
import { Dialog } from "./ui/dialog";
import { heading } from "./ui/heading";
import { Icon, type IconName } from "./ui/icons";
import { Pulse, Stale } from "./ui/pulse";
import Account from "./pages/account";
import Connections from "./pages/connections";
import Downloads from "./pages/downloads";
import Incidents from "./pages/incidents";
import Library from "./pages/library";
import Login from "./pages/login";
import Logs from "./pages/logs";
import Notifications from "./pages/notifications";
import Operations from "./pages/operations";
import Overview from "./pages/overview";
import Rules from "./pages/rules";
import Settings from "./pages/settings";
import System from "./pages/system";
import { c } from "./common";
import { go, here } from "./router";
import { can, incidents, jobs, operations, session } from "./store";
import type { Role } from "./types";
import { words } from "./words";

const w = words({
  more: ["More", "Más"],
  skip: ["Skip to the content", "Ir al contenido"],
  pages: ["Pages", "Páginas"],
  missing: ["There is no such page", "Esta página no existe"],
  home: ["Back to the overview", "Volver al resumen"],
  trying: ["It is tried again every moment.", "Se sigue intentando."],
});

type Name = "overview" | "downloads" | "incidents" | "operations" | "library" | "logs" | "notifications" | "system" | "rules" | "connections" | "settings" | "account";

interface Entry {
  path: string;
  icon: IconName;
  page: ComponentType;
  /** The least role that is offered it. */
  role?: Role;
}

const PAGES: Record<Name, Entry> = {
  overview: { path: "/", icon: "overview", page: Overview },
  incidents: { path: "/incidents", icon: "incidents", page: Incidents },
  downloads: { path: "/downloads", icon: "downloads", page: Downloads },
  operations: { path: "/operations", icon: "operations", page: Operations },
  library: { path: "/library", icon: "library", page: Library },
  logs: { path: "/logs", icon: "logs", page: Logs },
  notifications: { path: "/notifications", icon: "bell", page: Notifications },
  rules: { path: "/rules", icon: "rules", page: Rules },
  system: { path: "/system", icon: "system", page: System },
  connections: { path: "/connections", icon: "connections", page: Connections },
  settings: { path: "/settings", icon: "settings", page: Settings, role: "admin" },
  account: { path: "/account", icon: "account", page: Account },
};
const NAMES = Object.keys(PAGES) as Name[];
/** What a phone's bar has room for. */
const BAR: Name[] = ["overview", "incidents", "downloads", "operations"];

const pageOf = (path: string): Name | undefined =>
  NAMES.find((name) => path === PAGES[name].path || (name !== "overview" && path.startsWith(`${PAGES[name].path}/`)));

function Count({ of }: { of: Name }): JSX.Element | null {
  const list = of === "incidents" ? incidents.value : of === "downloads" ? jobs.value : of === "operations" ? operations.value : null;
  if (!list || list.length === 0) return null;
  return <span class={of === "incidents" ? "count bad" : "count"}>{list.length > 99 ? "99+" : list.length}</span>;
}

function Item({ name, current }: { name: Name; current: boolean }): JSX.Element {
  const { path, icon } = PAGES[name];
  return (
    <a class="item" href={path} aria-current={current ? "page" : undefined}>
      <Icon name={icon} />
      <span>{c[name]}</span>
      <Count of={name} />
    </a>
  );
}

export function App(): JSX.Element {
  const who = session.value;
  if (who.state === "unknown") return <Waiting />;
  if (who.state === "none") return <><Login /><Toasts /></>;
  return <Shell />;
}

/** Shown only when there is no answer for a while: most are quicker than the eye. */
function Waiting(): JSX.Element {
  const late = useSignal(false);
  useEffect(() => {
    const timer = setTimeout(() => (late.value = true), 1_200);
    return () => clearTimeout(timer);
  }, []);
  return <main class="door">{late.value && <Empty icon="connections" title={c.lost}>{w.trying}</Empty>}</main>;
}

function Shell(): JSX.Element {
  const more = useSignal(false);
  const { path } = here.value;
  const name = pageOf(path);
  const title = heading.value ?? (name ? c[name] : w.missing);
  const offered = NAMES.filter((one) => !PAGES[one].role || can(PAGES[one].role));
  useEffect(() => {
    document.title = `${title} · logmedic`;
  }, [title]);
  useEffect(() => {
    more.value = false;
  }, [path]);
  const Page = name ? PAGES[name].page : Missing;
  const item = (one: Name): JSX.Element => <Item key={one} name={one} current={one === name} />;
  return (
    <div class="shell">
      <a class="skip" href="#content" onClick={(event) => {
        event.preventDefault();
        document.getElementById("content")?.focus();
      }}>{w.skip}</a>
      <nav class="nav" aria-label={w.pages}>
        <a class="brand" href="/"><img src="/favicon.svg" alt="" width="22" height="22" />logmedic</a>
        {offered.slice(0, 7).map(item)}
        <span class="gap" />
        {offered.slice(7).map(item)}
      </nav>
      <div class="main">
        <header class="head">
          <h1 class="cut-off">{title}</h1>
          <Pulse />
          <Bell />
        </header>
        <Stale />
        <main id="content" tabIndex={-1}><Page /></main>
      </div>
      <nav class="tabbar" aria-label={w.pages}>
        {BAR.map((one) => (
          <a key={one} href={PAGES[one].path} aria-current={one === name ? "page" : undefined}>
            <Icon name={PAGES[one].icon} size={20} />
            <span>{c[one]}</span>
            <Count of={one} />
          </a>
        ))}
        <button type="button" aria-haspopup="dialog" aria-current={name && !BAR.includes(name) ? "page" : undefined} onClick={() => (more.value = true)}>
          <Icon name="more" size={20} />
          <span>{w.more}</span>
        </button>
      </nav>
      {more.value && (
        <Dialog title={w.more} close={() => (more.value = false)}>
          <nav class="more-list" aria-label={w.more}>
            {offered.filter((one) => !BAR.includes(one)).map((one) => (
              <a key={one} href={PAGES[one].path}><Icon name={PAGES[one].icon} size={20} />{c[one]}</a>
            ))}
          </nav>
        </Dialog>
      )}
      <Toasts />
    </div>
  );
}

function Missing(): JSX.Element {
  return (
    <div class="page">
      <Empty icon="search" title={w.missing}><Button act={() => go("/")}>{w.home}</Button></Empty>
    </div>
  );
}
