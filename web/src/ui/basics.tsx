// The small parts of which pages are made.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { signal, useSignal, type Signal } from "@preact/signals";
import { Problem } from "../api";
import { c } from "../common";
import { exact, now, relative } from "../format";
import { can } from "../store";
import type { Role } from "../types";
import { words } from "../words";
import { Icon, type IconName } from "./icons";

const w = words({
  needs: [(role: string) => `Needs the role ${role}`, (role: string) => `Requiere el rol ${role}`],
  refused: ["That was refused: ", "Rechazado: "],
  loading: ["Loading", "Cargando"],
  forbidden: ["Your role may not see this.", "Su rol no permite ver esto."],
  forbiddenMore: ["An admin can give you another role.", "Un administrador puede darle otro rol."],
});

/** A moment, told relative to now; the exact one on hover. */
export function Time({ at }: { at: string | null | undefined }): JSX.Element {
  if (!at) return <span class="soft">–</span>;
  return (
    <time dateTime={at} title={exact(at)}>
      {relative(at, now.value)}
    </time>
  );
}

// What has to be said about something that a person did.

interface Toast {
  id: number;
  bad: boolean;
  text: string;
}
const toasts = signal<Toast[]>([]);
let toastId = 0;
const TOAST_MS = 6_000;

/** Says something for some seconds. */
export function say(text: string, bad = false): void {
  const id = ++toastId;
  toasts.value = [...toasts.value.slice(-2), { id, bad, text }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), TOAST_MS);
}

/** Says why something did not work. */
export function complain(error: unknown): void {
  if (error instanceof Problem) say(error.status === 0 ? c.lost : w.refused + error.message, true);
  else say(String(error), true);
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <p key={toast.id} class={toast.bad ? "toast bad" : "toast"}>
          <span>{toast.text}</span>
          <button class="plain" aria-label={c.close} onClick={() => (toasts.value = toasts.value.filter((one) => one !== toast))}>
            <Icon name="cross" size={14} />
          </button>
        </p>
      ))}
    </div>
  );
}

interface ButtonProps {
  /** What it does; a promise keeps it busy, what that throws is said. */
  act: () => unknown;
  children?: ComponentChildren;
  icon?: IconName;
  /** For a button with only a picture. */
  label?: string;
  kind?: "main" | "quiet" | "danger";
  /** The least role that may; others see it dimmed, with the reason. */
  role?: Role;
  disabled?: boolean;
  small?: boolean;
  title?: string;
}

export function Button({ act, children, icon, label, kind, role, disabled, small, title }: ButtonProps): JSX.Element {
  const busy = useSignal(false);
  const barred = role !== undefined && !can(role);
  const press = async (): Promise<void> => {
    if (busy.value || barred) return;
    busy.value = true;
    try {
      await act();
    } catch (error) {
      complain(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <button
      type="button"
      class={`button ${kind ?? ""} ${small ? "small" : ""} ${children ? "" : "square"}`}
      aria-label={label}
      title={barred ? w.needs(c[role]) : (title ?? label)}
      aria-disabled={barred || undefined}
      aria-busy={busy.value || undefined}
      disabled={disabled}
      onClick={() => void press()}
    >
      {icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  );
}

/** Nothing is here, and that is said. */
export function Empty({ icon, title, children }: { icon?: IconName; title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      {icon && <Icon name={icon} size={28} />}
      <p class="empty-title">{title}</p>
      {children && <div class="soft">{children}</div>}
    </div>
  );
}

/** What went wrong while something was loaded, with a way to try again. */
export function Trouble({ problem, again }: { problem: Problem; again?: () => void }): JSX.Element {
  if (problem.status === 403) return <Empty icon="account" title={w.forbidden}>{w.forbiddenMore}</Empty>;
  if (problem.status === 404) return <Empty icon="search" title={c.missing}>{c.missingMore}</Empty>;
  return (
    <Empty icon="incidents" title={problem.status === 0 ? c.lost : problem.message}>
      {again && <Button act={again} icon="retry">{c.again}</Button>}
    </Empty>
  );
}

/** Grey lines in the size of what will stand there. */
export function Loading({ rows = 6 }: { rows?: number }): JSX.Element {
  return (
    <div class="loading" role="status" aria-label={w.loading}>
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} />
      ))}
    </div>
  );
}

/** What is asked of the agent: grey lines until it is there, what went wrong, or what is made of it. */
export function Loaded<T>({ of: { data, problem, reload }, rows, children }: {
  of: { data: Signal<T | null>; problem: Signal<Problem | null>; reload: () => void };
  rows?: number;
  children: (found: T) => ComponentChildren;
}): JSX.Element {
  if (data.value !== null) return <>{children(data.value)}</>;
  return problem.value ? <Trouble problem={problem.value} again={reload} /> : <Loading rows={rows} />;
}

/** How far something is; without a number it only moves. */
export function Progress({ percent, label, still }: { percent: number | null; label: string; still?: boolean }): JSX.Element {
  return (
    <progress class={still ? "progress still" : "progress"} aria-label={label} max={100} value={percent ?? undefined} />
  );
}

/** A part of a page with a heading. */
export function Panel(props: { title?: ComponentChildren; aside?: ComponentChildren; children: ComponentChildren; class?: string; flush?: boolean }): JSX.Element {
  const id = useId();
  return (
    <section class={`panel ${props.flush ? "flush" : ""} ${props.class ?? ""}`} aria-labelledby={props.title ? id : undefined}>
      {(props.title || props.aside) && (
        <header class="panel-head">
          {props.title && <h2 id={id}>{props.title}</h2>}
          {props.aside && <div class="panel-aside">{props.aside}</div>}
        </header>
      )}
      {props.children}
    </section>
  );
}

/** Words of the agent's own documentation, in which `code` stands between backquotes. */
export function Prose({ text }: { text: string }): JSX.Element {
  return <>{text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}

/** A name and its value; what is not known is left out. */
export type Fact = readonly [string, ComponentChildren] | false | null | undefined | "" | 0;

/** Names and values. */
export function Facts({ of }: { of: Fact[] }): JSX.Element {
  return (
    <dl class="facts">
      {of.filter((one) => !!one).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** How many of what, to be seen at once. */
export function Figures({ of }: { of: [string, string][] }): JSX.Element {
  return <div class="figures">{of.map(([name, value]) => <div class="figure" key={name}><b>{value}</b><span>{name}</span></div>)}</div>;
}

/** A field of a form with its name. */
export function Field({ label, ...input }: { label: string } & JSX.IntrinsicElements["input"]): JSX.Element {
  return <label class="field"><span>{label}</span><input {...input} /></label>;
}

/** What the field for a code of an authenticator is like. */
export const CODE = { name: "code", inputMode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxLength: 6, required: true } as const;

/** One of a few. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  of: readonly (readonly [T, string])[];
  pick: (value: T) => void;
}): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.of.map(([value, text]) => (
        <button type="button" key={value} aria-pressed={value === props.value} onClick={() => props.pick(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** One of many. */
export function Select<T extends string>(props: {
  label: string;
  value: T;
  of: readonly (readonly [T, string])[];
  pick: (value: T) => void;
}): JSX.Element {
  return (
    <label class="select">
      <span class="hidden">{props.label}</span>
      <select value={props.value} aria-label={props.label} onChange={(event) => props.pick(event.currentTarget.value as T)}>
        {props.of.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      <Icon name="down" size={12} />
    </label>
  );
}

/** Words to look for; told when the person pauses. */
export function Search({ label, value, seek }: { label: string; value: string; seek: (text: string) => void }): JSX.Element {
  const timer = useSignal<ReturnType<typeof setTimeout> | undefined>(undefined);
  const field = useRef<HTMLInputElement>(null);
  // It may be taken back from elsewhere; whoever types is not interrupted.
  useEffect(() => {
    if (field.current && field.current !== document.activeElement) field.current.value = value;
  }, [value]);
  return (
    <label class="search">
      <span class="hidden">{label}</span>
      <Icon name="search" size={14} />
      <input
        ref={field}
        type="search"
        placeholder={label}
        defaultValue={value}
        maxLength={200}
        onInput={(event) => {
          const text = event.currentTarget.value;
          clearTimeout(timer.peek());
          timer.value = setTimeout(() => seek(text), 250);
        }}
      />
    </label>
  );
}
