// Every value in effect with who said it; those that may be changed here are changed in place.

import type { JSX } from "preact";
import { useSignal } from "@preact/signals";
import * as api from "../api";
import { c } from "../common";
import { useGet } from "../list";
import { asked } from "../router";
import { Button, complain, Loaded, Panel, Prose, say } from "../ui/basics";
import { NoMatch, Pick, Seek } from "../ui/filters";
import { words } from "../words";
import "./settings.css";

const w = words({
  changeable: ["Changeable here", "Modificables aquí"],
  set: ["Not the default", "Distintos del valor inicial"],
  origin: [(origin: string) => (origin === "default" ? "default" : `from ${origin}`), (origin: string) => (origin === "default" ? "valor inicial" : `de ${origin}`)],
  save: ["Save", "Guardar"],
  back: ["Back to the file's value", "Volver al valor del archivo"],
  saved: ["Saved; it holds now.", "Guardado; ya está en vigor."],
  waits: [(what: string) => `Saved; it holds after a restart (${what}).`, (what: string) => `Guardado; vale tras reiniciar (${what}).`],
  restart: ["after a restart", "tras reiniciar"],
  nothing: ["not set", "sin valor"],
  notJson: ["This must be a list or an object in JSON.", "Debe ser una lista u objeto en JSON."],
});

interface Setting {
  key: string;
  value: unknown;
  origin: string;
  about: string | null;
  changeable: boolean;
  changed: boolean;
  effect: "now" | "restart";
  schema?: { type?: string | string[]; enum?: (string | number | null)[] } | null;
}

export default function Settings(): JSX.Element {
  const got = useGet<Setting[]>("settings");
  const [q, only] = [asked("q").toLowerCase(), asked("only")];
  const found = got.data.value?.filter(
    (one) => (!q || `${one.key} ${one.about ?? ""}`.toLowerCase().includes(q)) && (only !== "changeable" || one.changeable) && (only !== "set" || one.origin !== "default"),
  );
  const sections = new Map<string, Setting[]>();
  for (const one of found ?? []) {
    const section = one.key.includes(".") ? one.key.slice(0, one.key.indexOf(".")) : "";
    sections.set(section, [...(sections.get(section) ?? []), one]);
  }
  return (
    <div class="page">
      <div class="toolbar">
        <Pick name="only" of={[["", c.all], ["changeable", w.changeable], ["set", w.set]]} />
        <Seek />
      </div>
      {!found ? <Panel><Loaded of={got} rows={12}>{() => null}</Loaded></Panel> : found.length === 0 ? <Panel><NoMatch /></Panel> : (
        [...sections].map(([section, settings]) => (
          <Panel key={section} title={section || "logmedic"} flush>
            <div class="entries">{settings.map((one) => <Row key={one.key} of={one} saved={got.reload} />)}</div>
          </Panel>
        ))
      )}
    </div>
  );
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return w.nothing;
  if (value === true) return c.yes;
  if (value === false) return c.no;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function Row({ of, saved }: { of: Setting; saved: () => void }): JSX.Element {
  const editing = useSignal(false);
  const name = of.key.slice(of.key.indexOf(".") + 1);
  return (
    <div class="setting">
      <div>
        <b class="mono">{name}</b>
        {of.about && <p class="soft about"><Prose text={of.about} /></p>}
      </div>
      <div class="setting-value">
        {editing.value ? <Editor of={of} done={() => {
          editing.value = false;
          saved();
        }} close={() => (editing.value = false)} /> : (
          <p class="row spread">
            <span class={`mono wrap ${of.value === null ? "soft" : ""}`}>{shown(of.value)}</span>
            {of.changeable && <Button act={() => (editing.value = true)} small kind="quiet" label={`${c.change}: ${of.key}`}>{c.change}</Button>}
          </p>
        )}
        <p class="soft small-text cut-off" title={of.origin}>{w.origin(of.origin)}{of.effect === "restart" && of.changeable ? ` · ${w.restart}` : ""}</p>
      </div>
    </div>
  );
}

/** What kind of field a value needs: by its schema where it is told, else by the value itself. */
function kindOf({ value, schema }: Setting): "choice" | "switch" | "number" | "json" | "text" {
  const types = schema?.type ? [schema.type].flat() : [];
  if (schema?.enum) return "choice";
  if (types.includes("boolean") || typeof value === "boolean") return "switch";
  if (types.includes("integer") || types.includes("number") || typeof value === "number") return "number";
  if (types.includes("array") || types.includes("object") || (typeof value === "object" && value !== null)) return "json";
  return "text";
}

function Editor({ of, done, close }: { of: Setting; done: () => void; close: () => void }): JSX.Element {
  const wrong = useSignal("");
  const kind = kindOf(of);
  const send = async (value: unknown): Promise<void> => {
    try {
      const { restart } = await api.patch<{ restart: string[] }>("settings", { [of.key]: value });
      say(restart.length > 0 ? w.waits(restart.join(", ")) : w.saved);
      done();
    } catch (error) {
      if (error instanceof api.Problem && error.status >= 400 && error.status < 500) wrong.value = error.message;
      else complain(error);
    }
  };
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget as HTMLFormElement).get("value") ?? "");
    let value: unknown = text;
    if (kind === "number") value = Number(text);
    else if (kind === "switch") value = text === "true";
    else if (kind === "json") {
      try {
        value = JSON.parse(text);
      } catch {
        wrong.value = w.notJson;
        return;
      }
    }
    await send(value);
  };
  const now = of.value === null ? "" : typeof of.value === "object" ? JSON.stringify(of.value) : String(of.value);
  const about = { name: "value", "aria-label": of.key, "aria-invalid": wrong.value !== "", autofocus: true };
  return (
    <form class="field" onSubmit={(event) => void submit(event)} onKeyDown={(event) => {
      if (event.key === "Escape") close();
    }}>
      {kind === "choice" ? (
        <select {...about} defaultValue={now}>{of.schema?.enum?.filter((one) => one !== null).map((one) => <option key={String(one)} value={String(one)} selected={String(one) === now}>{String(one)}</option>)}</select>
      ) : kind === "switch" ? (
        <select {...about}><option value="true" selected={of.value === true}>{c.yes}</option><option value="false" selected={of.value === false}>{c.no}</option></select>
      ) : (
        <input {...about} inputMode={kind === "number" ? "decimal" : "text"} defaultValue={now} maxLength={2_000} spellcheck={false} />
      )}
      {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
      <div class="actions">
        {of.changed && <Button act={() => send(null)} small kind="quiet">{w.back}</Button>}
        <Button act={close} small kind="quiet">{c.cancel}</Button>
        <button class="button small main" type="submit">{w.save}</button>
      </div>
    </form>
  );
}
