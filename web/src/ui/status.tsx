// States as colour, shape and word together: nobody has to tell green from red.

import type { JSX } from "preact";
import { wordOf, words } from "../words";

export type Tone = "good" | "busy" | "wait" | "bad" | "warn" | "quiet";

const SHAPES: Record<Tone, JSX.Element> = {
  good: <path d="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM4.800 8.300l2.200 2.200 4.200-4.700" class="cut" />,
  busy: <path d="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM8 4v4l2.600 1.600" class="cut" />,
  wait: <path d="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM6.300 5.300v5.400M9.700 5.300v5.400" class="cut" />,
  bad: <path d="M5.100 1h5.800L15 5.100v5.800L10.900 15H5.100L1 10.900V5.100zM5.800 5.800l4.400 4.400M10.200 5.800l-4.400 4.400" class="cut" />,
  warn: <path d="M8 1.300 15.300 14.500H.7zM8 6.300v3.400M8 11.900v.2" class="cut" />,
  quiet: <circle cx="8" cy="8" r="6" class="ring" />,
};

/** The shape alone, for where a word stands beside it anyway. */
export function Mark({ tone, size = 14 }: { tone: Tone; size?: number }): JSX.Element {
  return (
    <svg class={`mark tone-${tone}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {SHAPES[tone]}
    </svg>
  );
}

/** Shape and word. */
export function Status({ tone, children }: { tone: Tone; children: string }): JSX.Element {
  return (
    <span class={`status tone-${tone}`}>
      <Mark tone={tone} />
      {children}
    </span>
  );
}

const w = words({
  working: ["working on it", "en ello"],
  held: ["waiting", "esperando"],
  approval: ["asks you", "espera su permiso"],
  healed: ["healed", "reparado"],
  recovered: ["recovered", "recuperado"],
  not_confirmed: ["not confirmed", "no confirmado"],
  alert_only: ["told you", "avisado"],
  exhausted: ["gave up", "agotado"],
  refused: ["refused", "rechazado"],
  cancelled: ["cancelled", "cancelado"],
  interrupted: ["interrupted", "interrumpido"],
  queued: ["queued", "en cola"],
  processing: ["downloading", "descargando"],
  stalled: ["stalled", "parado"],
  completed: ["completed", "completado"],
  failed: ["failed", "fallido"],
  sent: ["sent", "enviado"],
  pending: ["pending", "pendiente"],
  running: ["running", "en marcha"],
  paused: ["paused", "en pausa"],
  pausing: ["pausing…", "pausando…"],
  cancelling: ["cancelling…", "cancelando…"],
  info: ["info", "información"],
  success: ["success", "éxito"],
  warning: ["warning", "aviso"],
  error: ["error", "error"],
  critical: ["critical", "crítico"],
  up: ["up", "activo"],
  down: ["down", "caído"],
  unknown: ["unknown", "desconocido"],
  sound: ["sound", "íntegro"],
  short: ["cut short", "incompleto"],
  broken: ["broken", "dañado"],
  changed: ["changed", "cambiado"],
});

/** What has none of these is quiet. */
const TONES: Partial<Record<Tone, string[]>> = {
  good: ["healed", "recovered", "completed", "success", "up", "sound"],
  busy: ["working", "processing", "running"],
  wait: ["held", "paused", "pausing", "cancelling"],
  warn: ["approval", "alert_only", "interrupted", "stalled", "warning", "changed"],
  bad: ["exhausted", "refused", "failed", "error", "critical", "down", "short", "broken"],
};

export const tone = (state: string): Tone => (Object.keys(TONES) as Tone[]).find((one) => TONES[one]?.includes(state)) ?? "quiet";

/** The word for a state, in the chosen language; one that is not known stands for itself. */
export const stateWord = (state: string): string => wordOf(w, state);

/** Any state that the agent tells. */
export const StateOf = ({ state }: { state: string }): JSX.Element => <Status tone={tone(state)}>{stateWord(state)}</Status>;

export const incidentState = (incident: { state: string; held_on: string | null }): string =>
  incident.held_on === "approval" ? "approval" : incident.state;
export const jobState = (job: { state: string; stalled_since: string | null }): string =>
  job.state === "processing" && job.stalled_since ? "stalled" : job.state;
export const operationState = (operation: { state: string; wish: string | null }): string =>
  operation.wish === "pause" ? "pausing" : operation.wish === "cancel" ? "cancelling" : operation.state;

const classes = words({
  timeout: ["timeout", "tiempo agotado"],
  permission: ["permission", "permisos"],
  missing_path: ["missing path", "ruta inexistente"],
  corrupt: ["corrupt file", "archivo dañado"],
  disk_full: ["disk full", "disco lleno"],
  server_down: ["server down", "servidor caído"],
  rate_limited: ["rate limited", "límite de peticiones"],
  auth: ["not authorised", "sin autorización"],
  too_large: ["too large", "demasiado grande"],
  not_found: ["not found", "no encontrado"],
  conflict: ["conflict", "conflicto"],
  crash: ["crash", "caída del bot"],
});
/** Every class of fault. */
export const CLASSES = Object.keys(classes);
/** The class of a fault, in words. */
export const className = (name: string): string => wordOf(classes, name);

const strategies = words({
  redownload: ["download again", "descargar de nuevo"],
  restore_access: ["restore access", "restaurar permisos"],
  create_directory: ["create the directory", "crear el directorio"],
  quarantine: ["move to quarantine", "poner en cuarentena"],
  wait_for_server: ["wait for the server", "esperar al servidor"],
  wait: ["wait", "esperar"],
  alert: ["alert", "avisar"],
  restart_bot: ["restart the bot", "reiniciar el bot"],
  command: ["run the command", "ejecutar el comando"],
});
/** What is done about it, in words. */
export const strategyName = (name: string): string => wordOf(strategies, name);
