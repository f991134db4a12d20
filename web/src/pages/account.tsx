// What belongs to the person: preferences of this browser, password, second factor, sessions; for admins the accounts.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { useGet } from "../list";
import { language, sound, theme } from "../prefs";
import * as push from "../push";
import { can, leave, session } from "../store";
import type { Me, Role } from "../types";
import { Button, Choice, CODE, complain, Facts, Field, Loaded, Loading, Panel, say, Select, Time } from "../ui/basics";
import { chime } from "../ui/chime";
import { words } from "../words";

const w = words({
  you: ["You", "Usted"],
  ends: ["This session ends", "Esta sesión termina"],
  out: ["Log out", "Cerrar sesión"],
  browser: ["This browser", "Este navegador"],
  language: ["Language", "Idioma"],
  theme: ["Theme", "Tema"],
  auto: ["As the system", "Según el sistema"],
  light: ["Light", "Claro"],
  dark: ["Dark", "Oscuro"],
  on: ["On", "Sí"],
  off: ["Off", "No"],
  push: ["Notifications when no page is open", "Avisos sin página abierta"],
  pushNo: ["This browser cannot, or the page does not come by HTTPS or from this machine.", "Este navegador no puede, o la página no llega por HTTPS ni desde esta máquina."],
  pushDenied: ["The browser was told not to show notifications.", "El navegador no permite avisos."],
  turnOn: ["Turn on", "Activar"],
  now: ["Password now", "Contraseña actual"],
  fresh: ["New password, 10 characters or more", "Contraseña nueva, 10 caracteres o más"],
  change: ["Change the password", "Cambiar la contraseña"],
  changed: ["The password is changed; your other sessions have ended.", "Contraseña cambiada; sus otras sesiones han terminado."],
  factor: ["Second factor", "Segundo factor"],
  factorOn: ["On: a code is asked at each login.", "Activo: se pide un código al entrar."],
  factorOff: ["Off. With an authenticator app a stolen password alone opens nothing.", "Inactivo. Con una aplicación autenticadora, una contraseña robada no basta."],
  begin: ["Set it up", "Configurarlo"],
  key: ["Type this key into your app, then the code that it shows:", "Escriba esta clave en su aplicación y después el código que muestra:"],
  confirm: ["Confirm", "Confirmar"],
  sessions: ["Sessions", "Sesiones"],
  here: ["this one", "esta"],
  seen: ["used", "usada"],
  from: ["from", "desde"],
  end: ["End", "Terminar"],
  accounts: ["Accounts", "Cuentas"],
  add: ["Add", "Añadir"],
  remove: ["Remove", "Eliminar"],
});

export default function Account(): JSX.Element {
  const who = session.value;
  if (who.state !== "in") return <div class="page"><Loading /></div>;
  const { me } = who;
  return (
    <div class="page">
      <div class="columns">
        <Panel title={w.you} aside={<Button act={logOut} small icon="next">{w.out}</Button>}>
          <Facts of={[[c.name, me.account], [c.role, c[me.role]], [w.ends, <Time at={me.expires_at} />]]} />
        </Panel>
        <Browser />
        {me.session && <Password me={me} />}
        {me.session && <Factor me={me} />}
      </div>
      <Sessions />
      {can("admin") && <Accounts me={me} />}
    </div>
  );
}

async function logOut(): Promise<void> {
  await api.post("auth/logout");
  leave();
}

function Browser(): JSX.Element {
  const subscription = useSignal<PushSubscription | null>(null);
  useEffect(() => {
    void push.current().then((found) => (subscription.value = found), () => {});
  }, []);
  const turnOn = async (): Promise<void> => {
    if (await push.turnOn()) subscription.value = await push.current();
    else say(w.pushDenied, true);
  };
  const turnOff = async (): Promise<void> => {
    if (subscription.value) await push.turnOff(subscription.value);
    subscription.value = null;
  };
  return (
    <Panel title={w.browser}>
      <Facts of={[
        [w.language, <Choice label={w.language} value={language.value} of={[["en", "English"], ["es", "Español"]]} pick={(value) => (language.value = value)} />],
        [w.theme, <Choice label={w.theme} value={theme.value} of={[["auto", w.auto], ["light", w.light], ["dark", w.dark]]} pick={(value) => (theme.value = value)} />],
        [c.sound, <Choice label={c.sound} value={sound.value} of={[["on", w.on], ["off", w.off]]} pick={(value) => {
          sound.value = value;
          if (value === "on") chime("success");
        }} />],
        [w.push, push.able() ? <Button act={subscription.value ? turnOff : turnOn} small>{subscription.value ? c.turnOff : w.turnOn}</Button> : <span class="soft">{w.pushNo}</span>],
      ]} />
    </Panel>
  );
}

/** What the field for a new password is like. */
const NEW = { type: "password", autocomplete: "new-password", required: true, minLength: 10, maxLength: 1024 } as const;

/** Sends a form as JSON; fields left empty are left out. */
async function submit(event: SubmitEvent, path: string): Promise<boolean> {
  event.preventDefault();
  const form = event.currentTarget as HTMLFormElement;
  const values = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  try {
    await api.post(path, values);
    form.reset();
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

async function refresh(): Promise<void> {
  session.value = { state: "in", me: await api.get<Me>("auth/me") };
}

const Code = (): JSX.Element => <Field label={c.code} {...CODE} />;
const Now = (): JSX.Element => <Field label={w.now} name="password" type="password" autocomplete="current-password" required maxLength={1024} />;

function Password({ me }: { me: Me }): JSX.Element {
  return (
    <Panel title={c.password}>
      <form class="stack" onSubmit={async (event) => {
        if (await submit(event, "auth/password")) say(w.changed);
      }}>
        <input class="hidden" name="" autocomplete="username" value={me.account} readOnly tabIndex={-1} aria-hidden="true" />
        <Now />
        <Field label={w.fresh} name="new_password" {...NEW} />
        {me.second_factor && <Code />}
        <div class="actions"><button class="button" type="submit">{w.change}</button></div>
      </form>
    </Panel>
  );
}

function Factor({ me }: { me: Me }): JSX.Element {
  const offered = useSignal<string | null>(null);
  const begin = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const password = new FormData(event.currentTarget as HTMLFormElement).get("password");
    try {
      offered.value = (await api.post<{ secret: string }>("auth/totp", { password })).secret;
    } catch (error) {
      complain(error);
    }
  };
  const done = async (event: SubmitEvent, path: string): Promise<void> => {
    if (!(await submit(event, path))) return;
    offered.value = null;
    await refresh();
  };
  return (
    <Panel title={w.factor}>
      {offered.value ? (
        <form class="stack" onSubmit={(event) => void done(event, "auth/totp/confirm")}>
          <p>{w.key}</p>
          <p class="code wrap">{offered.value.match(/.{1,4}/g)?.join(" ")}</p>
          <Code />
          <div class="actions"><button class="button main" type="submit">{w.confirm}</button></div>
        </form>
      ) : (
        <form class="stack" onSubmit={(event) => void (me.second_factor ? done(event, "auth/totp/disable") : begin(event))}>
          <p class="soft">{me.second_factor ? w.factorOn : w.factorOff}</p>
          <Now />
          {me.second_factor && <Code />}
          <div class="actions"><button class="button" type="submit">{me.second_factor ? c.turnOff : w.begin}</button></div>
        </form>
      )}
    </Panel>
  );
}

interface SessionShown {
  id: string;
  account: string;
  role: Role;
  current: boolean;
  seen_at: string;
  address: string;
  agent: string;
}

function Sessions(): JSX.Element | null {
  const { data, reload } = useGet<SessionShown[]>(can("admin") ? "auth/sessions?all=true" : "auth/sessions");
  const end = async (one: SessionShown): Promise<void> => {
    await api.remove(`auth/sessions/${one.id}`);
    reload();
  };
  if (!data.value || data.value.length === 0) return null;
  return (
    <Panel title={w.sessions} flush>
      <ul class="entries lines">
        {data.value.map((one) => (
          <li key={one.id}>
            <div class="grow">
              <p class="row"><b>{one.account}</b>{one.current && <span class="chip">{w.here}</span>}</p>
              <p class="soft small-text cut-off">{w.seen} <Time at={one.seen_at} /> {w.from} {one.address} · <span title={one.agent}>{one.agent}</span></p>
            </div>
            {!one.current && <Button act={() => end(one)} small kind="danger">{w.end}</Button>}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

interface AccountShown {
  account: string;
  role: Role;
  second_factor: boolean;
  created_at: string;
}
const ROLES: Role[] = ["viewer", "operator", "admin"];

function Accounts({ me }: { me: Me }): JSX.Element {
  const accounts = useGet<AccountShown[]>("accounts");
  const { reload } = accounts;
  const role = useSignal<Role>("viewer");
  const change = (one: AccountShown, to: Role): void => {
    api.patch(`accounts/${one.account}`, { role: to }).then(reload, (error: unknown) => {
      complain(error);
      reload();
    });
  };
  const gone = async (one: AccountShown): Promise<void> => {
    await api.remove(`accounts/${one.account}`);
    reload();
  };
  return (
    <Panel title={w.accounts} flush>
      <Loaded of={accounts} rows={3}>
        {(list) => (
          <ul class="entries lines">
            {list.map((one) => (
              <li key={one.account}>
                <div class="grow">
                  <p class="row"><b>{one.account}</b>{one.second_factor && <span class="chip">{w.factor}</span>}</p>
                  <p class="soft small-text"><Time at={one.created_at} /></p>
                </div>
                <Select label={`${c.role}: ${one.account}`} value={one.role} of={ROLES.map((one) => [one, c[one]] as const)} pick={(to) => change(one, to)} />
                <Button act={() => gone(one)} small kind="danger" disabled={one.account === me.account} label={`${w.remove}: ${one.account}`} icon="trash" />
              </li>
            ))}
          </ul>
        )}
      </Loaded>
      <form class="add-account" onSubmit={async (event) => {
        if (await submit(event, "accounts")) reload();
      }}>
        <Field label={c.name} name="account" required maxLength={32} autocomplete="off" autocapitalize="none" spellcheck={false} />
        <Field label={w.fresh} name="password" {...NEW} />
        <label class="field"><span>{c.role}</span><select name="role" value={role.value} onChange={(event) => (role.value = event.currentTarget.value as Role)}>{ROLES.map((one) => <option key={one} value={one}>{c[one]}</option>)}</select></label>
        <button class="button" type="submit">{w.add}</button>
      </form>
    </Panel>
  );
}
