// Lets people in.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { language } from "../prefs";
import { enter } from "../store";
import type { Me } from "../types";
import { CODE, Field } from "../ui/basics";
import { words } from "../words";

const w = words({
  enter: ["Log in", "Entrar"],
  wrong: ["Name or password is wrong.", "Nombre o contraseña incorrectos."],
  wrongCode: ["That code is not right.", "Ese código no es correcto."],
  slow: ["Too many attempts. Wait a moment, then try again.", "Demasiados intentos. Espere un momento."],
  help: ["No account yet, or forgotten? On the machine itself:", "¿Sin cuenta, o la olvidó? En la propia máquina:"],
});

export default function Login(): JSX.Element {
  const said = useSignal("");
  const asked = useSignal(false);
  const busy = useSignal(false);
  useEffect(() => {
    document.title = `${w.enter} · logmedic`;
  }, [language.value]);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (busy.value) return;
    const form = new FormData(event.currentTarget as HTMLFormElement);
    busy.value = true;
    said.value = "";
    try {
      const code = form.get("code");
      await api.post("auth/login", {
        account: form.get("account"),
        password: form.get("password"),
        ...(code ? { code } : {}),
      });
      enter(await api.get<Me>("auth/me"));
    } catch (error) {
      const problem = error instanceof api.Problem ? error : null;
      if (problem?.code === "second_factor_required") asked.value = true;
      else if (problem?.status === 0) said.value = c.lost;
      else if (problem?.status === 429) said.value = w.slow;
      else if (problem?.status === 401) said.value = asked.value ? w.wrongCode : w.wrong;
      else said.value = problem?.message ?? String(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <main class="door">
      <form class="door-card" onSubmit={(event) => void submit(event)}>
        <h1 class="brand"><img src="/favicon.svg" alt="" width="28" height="28" />logmedic</h1>
        <Field label={c.name} name="account" autocomplete="username" autocapitalize="none" spellcheck={false} required maxLength={64} autofocus />
        <Field label={c.password} name="password" type="password" autocomplete="current-password" required maxLength={1024} />
        {asked.value && <Field label={c.code} {...CODE} autofocus />}
        <button class="button main" type="submit" aria-busy={busy.value || undefined}><span>{w.enter}</span></button>
        <p class="bad-text" role="alert">{said.value}</p>
        <p class="soft">{w.help}<br /><code>logmedic user add NAME --role admin</code></p>
      </form>
    </main>
  );
}
