// Words that several pages use: the same thing is called the same everywhere.

import { words } from "./words";

export const c = words({
  // The pages.
  overview: ["Overview", "Resumen"],
  downloads: ["Downloads", "Descargas"],
  incidents: ["Incidents", "Incidencias"],
  operations: ["Operations", "Operaciones"],
  library: ["Library", "Biblioteca"],
  logs: ["Logs", "Registros"],
  notifications: ["Notifications", "Avisos"],
  system: ["System", "Sistema"],
  rules: ["Rules", "Reglas"],
  connections: ["Connections", "Conexiones"],
  settings: ["Settings", "Ajustes"],
  account: ["Account", "Cuenta"],

  // Filters.
  show: ["Show", "Mostrar"],
  all: ["All", "Todo"],
  any: [(what: string) => `Any ${what.toLowerCase()}`, (what: string) => `Cualquier ${what.toLowerCase()}`],
  search: ["Search", "Buscar"],
  state: ["State", "Estado"],
  kind: ["Kind", "Tipo"],
  level: ["Level", "Nivel"],
  source: ["Source", "Origen"],
  time: ["Time", "Periodo"],
  noMatch: ["Nothing matches", "Nada coincide"],
  showAll: ["Show all", "Mostrar todo"],

  // What is done.
  again: ["Try again", "Reintentar"],
  cancel: ["Cancel", "Cancelar"],
  change: ["Change", "Cambiar"],
  close: ["Close", "Cerrar"],
  pause: ["Pause", "Pausar"],
  resume: ["Resume", "Reanudar"],
  send: ["Send", "Enviar"],
  turnOff: ["Turn off", "Desactivar"],

  // What is said of things.
  details: ["Details", "Detalles"],
  happened: ["What happened", "Qué ocurrió"],
  incident: ["Incident", "Incidencia"],
  download: ["Download", "Descarga"],
  rule: ["Rule", "Regla"],
  name: ["Name", "Nombre"],
  role: ["Role", "Rol"],
  password: ["Password", "Contraseña"],
  code: ["Code of your authenticator", "Código de su autenticador"],
  progress: ["Progress", "Progreso"],
  sound: ["Sound", "Sonido"],
  size: ["Size", "Tamaño"],
  began: ["Began", "Empezó"],
  ended: ["Ended", "Terminó"],
  took: ["Took", "Duró"],
  attempt: ["Attempt", "Intento"],
  openIncidents: ["Open incidents", "Incidencias abiertas"],
  disks: ["Disks", "Discos"],
  current: ["up to date", "al día"],
  yes: ["yes", "sí"],
  no: ["no", "no"],
  viewer: ["viewer", "lector"],
  operator: ["operator", "operador"],
  admin: ["admin", "administrador"],
  lines: [(count: string) => `${count} lines`, (count: string) => `${count} líneas`],
  sent: [(count: string) => `${count} sent`, (count: string) => `${count} enviados`],
  failed: [(count: string) => `${count} failed`, (count: string) => `${count} fallidos`],
  waiting: [(count: string) => `${count} waiting`, (count: string) => `${count} en espera`],
  of: [(part: string, whole: string) => `${part} of ${whole}`, (part: string, whole: string) => `${part} de ${whole}`],
  left: [(time: string) => `${time} left`, (time: string) => `faltan ${time}`],

  // What is wrong.
  lost: ["logmedic does not answer", "logmedic no responde"],
  missing: ["This does not exist, or not any more", "Esto no existe, o ya no"],
  missingMore: ["Old entries are removed after a while.", "Las entradas antiguas se eliminan pasado un tiempo."],
});
