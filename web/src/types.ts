// What the agent tells, as far as the pages show it. The whole: /api/v1/openapi.json.

export type Role = "viewer" | "operator" | "admin";

export interface Me {
  account: string;
  role: Role;
  session: string | null;
  expires_at: string | null;
  second_factor: boolean;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export type Level = "info" | "success" | "warning" | "error";
export type Severity = "info" | "warning" | "error" | "critical";

export interface Subject {
  kind: string;
  value: string;
}

export interface Step {
  strategy: string;
  attempt: number;
  attempts: number;
  ok: boolean | null;
  detail: string;
}

export interface Incident {
  id: string;
  class: string;
  subject: Subject;
  source: string;
  rule: string;
  severity: Severity;
  state: string;
  held_on: string | null;
  job: string | null;
  text: string;
  count: number;
  detail: string | null;
  remedy: string | null;
  steps: Step[];
  due: string | null;
  opened_at: string;
  last_at: string;
  ended_at: string | null;
  acknowledged: unknown;
}

export type JobState = "queued" | "processing" | "completed" | "failed";

export interface Job {
  id: string;
  name: string;
  state: JobState;
  origin: string;
  source: string | null;
  path: string | null;
  url: string | null;
  file_id: string | null;
  percent: number | null;
  bytes: number | null;
  total: number | null;
  rate: number | null;
  eta_s: number | null;
  message: string | null;
  attempt: number;
  stalled_since: string | null;
  created_at: string;
  updated_at: string;
  ended_at: string | null;
}

export type OperationState = "pending" | "running" | "paused" | "completed" | "failed" | "cancelled";

export interface Operation {
  id: string;
  kind: string;
  name: string;
  state: OperationState;
  wish: "pause" | "cancel" | null;
  begun: boolean;
  priority: "low" | "normal" | "high" | "critical";
  pausable: boolean;
  resume: boolean;
  about: { incident?: string; class?: string; subject?: string; strategy?: string };
  by: string;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  runs: number;
  interrupted: boolean;
  progress: {
    percent: number | null;
    unit: "items" | "bytes";
    done: number | null;
    total: number | null;
    per_second: number | null;
    eta_s: number | null;
    succeeded: number | null;
    failed: number | null;
    message: string | null;
    usage: { cpu_percent: number; memory_bytes: number } | null;
  };
  report: { detail: string; exit_code?: number; output?: string[] } | null;
}

export interface Notification {
  id: string;
  at: string;
  level: Level;
  kind: string;
  class: string | null;
  title: string;
  text: string;
  read: boolean;
  read_at: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  silent: boolean;
}

export interface Disk {
  name: string;
  free_bytes: number | null;
  total_bytes: number | null;
  min_free_bytes: number;
  change_bytes_per_hour: number | null;
  full_at: string | null;
}

export interface ProcessUse {
  pid: number;
  cpu_percent: number | null;
  memory_bytes: number | null;
}

export interface Health {
  status: "ok" | "degraded" | "down";
  reasons: { part: string; status: string; detail: string; remedy: string | null }[];
  version: string;
  started_at: string;
  uptime_s: number;
  agent: ProcessUse | null;
  loop_age_ms: number | null;
  runs_bot: boolean;
  /** What is optional here and below, older agents do not tell. */
  bot: (ProcessUse & { state?: string; since?: string | null; restarts?: number }) | null;
  sources?: { name: string; files: { path: string; lag_bytes: number | null }[] }[];
  ledger_bytes: number | null;
  records_bytes: number | null;
  disks: Disk[];
  undelivered: number;
  undelivered_since: string | null;
  open_incidents: number;
  probes: { up: number; down: number; unknown: number; overdue: number };
}

export interface Overview {
  since: string;
  step: "hour" | "day";
  failures: { at: string; class: string; result: string; count: number }[];
  totals: { healed: number; recovered: number; unhealed: number; other: number; open: number };
  open: { name: string; count: number }[];
  jobs: { name: string; count: number }[];
  operations: { name: string; count: number }[];
  disks: Disk[];
}

/** A frame of the hub (docs/asyncapi.yaml). */
export interface Frame {
  v: 1;
  seq: number;
  epoch: string;
  topic: Topic;
  type: string;
  key?: string;
  at: string;
  data: unknown;
}

export type Topic = "job" | "operation" | "incident" | "agent" | "system" | "notification" | "log" | "stats";
