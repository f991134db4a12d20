// What belongs to the person: preferences of this browser, password, second factor, sessions; for admins the accounts.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { useGet } from "../list";
import { language, sound, theme } from "../prefs";
import * as push from "../push";
import { can, leave, session } from "../store";
import type { Me, Role } from "../types";
import { Button, Choice, complain, Facts, Loading, Panel, say, Select, Time } from "../ui/basics";
import { chime } from "../ui/chime";
import { words } from "../words";

const w = words({
  you: ["You", "Usted"],
  name: ["Name", "Nombre"],
  role: ["Role", "Rol"],
  ends: ["This session ends", "Esta sesión termina"],
  out: ["Log out", "Cerrar sesión"],
  browser: ["This browser", "Este navegador"],
  language: ["Language", "Idioma"],
  theme: ["Theme", "Tema"],
  auto: ["As the system", "Según el sistema"],
  light: ["Light", "Claro"],
  dark: ["Dark", "Oscuro"],
  sound: ["Sound", "Sonido"],
  on: ["On", "Sí"],
  off: ["Off", "No"],
  push: ["Notifications when no page is open", "Avisos sin página abierta"],
  pushNo: ["This browser cannot, or the page does not come by HTTPS or from this machine.", "Este navegador no puede, o la página no llega por HTTPS ni desde esta máquina."],
  pushDenied: ["The browser was told not to show notifications.", "El navegador no permite avisos."],
  turnOn: ["Turn on", "Activar"],
  turnOff: ["Turn off", "Desactivar"],
  password: ["Password", "Contraseña"],
  now: ["Password now", "Contraseña actual"],
  fresh: ["New password, 10 characters or more", "Contraseña nueva, 10 caracteres o más"],
  code: ["Code of your authenticator", "Código de su autenticador"],
  change: ["Change the password", "Cambiar la contraseña"],
  changed: ["The password is changed; your other sessions have ended.", "Contraseña cambiada; sus otras sesiones han terminado."],
  factor: ["Second factor", "Segundo factor"],
  factorOn: ["On: a code is asked at each login.", "Activo: se pide un código al entrar."],
  factorOff: ["Off. With an authenticator app a stolen password alone opens nothing.", "Inactivo. Con una aplicación autenticadora, una contraseña robada no basta."],
  begin: ["Set it up", "Configurarlo"],
  key: ["Type this key into your app, then the code that it shows:", "Escriba esta clave en su aplicación y después el código que muestra:"],
  confirm: ["Confirm", "Confirmar"],
  disable: ["Turn it off", "Desactivarlo"],
  sessions: ["Sessions", "Sesiones"],
  here: ["this one", "esta"],
  seen: ["used", "usada"],
  from: ["from", "desde"],
  end: ["End", "Terminar"],
  accounts: ["Accounts", "Cuentas"],
  add: ["Add", "Añadir"],
  remove: ["Remove", "Eliminar"],
  local: ["You are here by this machine's own socket: there is no password to change.", "Está aquí por el socket de esta máquina: no hay contraseña que cambiar."],
});

export default function Account(): JSX.Element {
  const who = session.value;
  if (who.state !== "in") return <div class="page"><Loading /></div>;
  const { me } = who;
  return (
    <div class="page">
      <div class="columns">
        <Panel title={w.you} aside={<Button act={logOut} small icon="next">{w.out}</Button>}>
          <Facts of={[[w.name, me.account], [w.role, me.role], [w.ends, <Time at={me.expires_at} />]]} />
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
        [w.sound, <Choice label={w.sound} value={sound.value} of={[["on", w.on], ["off", w.off]]} pick={(value) => {
          sound.value = value;
          if (value === "on") chime("success");
        }} />],
        [w.push, push.able() ? <Button act={subscription.value ? turnOff : turnOn} small>{subscription.value ? w.turnOff : w.turnOn}</Button> : <span class="soft">{w.pushNo}</span>],
      ]} />
    </Panel>
  );
}

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

function Code(): JSX.Element {
  return <label class="field"><span>{w.code}</span><input name="code" inputMode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" maxLength={6} required /></label>;
}
const Now = (): JSX.Element => (
  <label class="field"><span>{w.now}</span><input name="password" type="password" autocomplete="current-password" required maxLength={1024} /></label>
);

function Password({ me }: { me: Me }): JSX.Element {
  return (
    <Panel title={w.password}>
      <form class="stack" onSubmit={async (event) => {
        if (await submit(event, "auth/password")) say(w.changed);
      }}>
        <input class="hidden" name="" autocomplete="username" value={me.account} readOnly tabIndex={-1} aria-hidden="true" />
        <Now />
        <label class="field"><span>{w.fresh}</span><input name="new_password" type="password" autocomplete="new-password" required minLength={10} maxLength={1024} /></label>
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
          <div class="actions"><button class="button" type="submit">{me.second_factor ? w.disable : w.begin}</button></div>
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
      <div class="short-list">
        {data.value.map((one) => (
          <div class="line" key={one.id}>
            <div class="two">
              <span class="first"><span>{one.account}</span>{one.current && <span class="chip">{w.here}</span>}</span>
              <span class="second">{w.seen} <Time at={one.seen_at} /> {w.from} {one.address} · {one.agent}</span>
            </div>
            {!one.current && <Button act={() => end(one)} small kind="danger">{w.end}</Button>}
          </div>
        ))}
      </div>
    </Panel>
  );
}

interface AccountShown {
  account: string;
  role: Role;
  second_factor: boolean;
  created_at: string;
}
const ROLES: [Role, string][] = [["viewer", "viewer"], ["operator", "operator"], ["admin", "admin"]];

function Accounts({ me }: { me: Me }): JSX.Element {
  const { data, reload } = useGet<AccountShown[]>("accounts");
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
      {!data.value ? <Loading rows={3} /> : (
        <div class="short-list">
          {data.value.map((one) => (
            <div class="line" key={one.account}>
              <div class="two">
                <span class="first"><span>{one.account}</span>{one.second_factor && <span class="chip">{w.factor}</span>}</span>
                <span class="second"><Time at={one.created_at} /></span>
              </div>
              <Select label={`${w.role}: ${one.account}`} value={one.role} of={ROLES} pick={(to) => change(one, to)} />
              <Button act={() => gone(one)} small kind="danger" disabled={one.account === me.account} label={`${w.remove}: ${one.account}`} icon="trash" />
            </div>
          ))}
        </div>
      )}
      <form class="add-account" onSubmit={async (event) => {
        if (await submit(event, "accounts")) reload();
      }}>
        <label class="field"><span>{w.name}</span><input name="account" required maxLength={32} autocomplete="off" autocapitalize="none" spellcheck={false} /></label>
        <label class="field"><span>{w.password}</span><input name="password" type="password" required minLength={10} autocomplete="new-password" /></label>
        <label class="field"><span>{w.role}</span><select name="role" value={role.value} onChange={(event) => (role.value = event.currentTarget.value as Role)}>{ROLES.map(([value]) => <option key={value} value={value}>{value}</option>)}</select></label>
        <button class="button" type="submit">{w.add}</button>
      </form>
    </Panel>
  );
}
