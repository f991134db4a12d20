// Asks the agent by HTTP. What is wrong comes as a problem (RFC 9457).

const BASE = "/api/v1/";

/** No answer within this time is an answer, too. */
const PATIENCE_MS = 15_000;

/** What the agent says when it refuses; `status` 0: it did not answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** Called when the session is over. */
let ended: () => void = () => {};
export const onSessionEnd = (call: () => void): void => {
  ended = call;
};

async function send<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const limit = AbortSignal.timeout(PATIENCE_MS);
  init.signal = signal ? AbortSignal.any([signal, limit]) : limit;
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(BASE + path, init);
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "no_answer", "logmedic does not answer");
  }
  if (!answer.ok) {
    let code = "error";
    let detail = answer.statusText;
    try {
      const problem = JSON.parse(text) as { code?: string; detail?: string; title?: string };
      code = problem.code ?? code;
      detail = problem.detail ?? problem.title ?? detail;
    } catch {
      // A proxy's own page: its status has to do.
    }
    if (answer.status === 401 && !path.startsWith("auth/")) ended();
    throw new Problem(answer.status, code, detail);
  }
  return (text ? JSON.parse(text) : null) as T;
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => send<T>("GET", path, undefined, signal);
export const post = <T = unknown>(path: string, body?: unknown): Promise<T> => send<T>("POST", path, body);
export const patch = <T = unknown>(path: string, body: unknown): Promise<T> => send<T>("PATCH", path, body);
export const remove = <T = unknown>(path: string, body?: unknown): Promise<T> => send<T>("DELETE", path, body);

/** A path with what is asked; empty values are left out. */
export function query(path: string, values: Record<string, string | number | null | undefined>): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") text.set(name, String(value));
  }
  const asked = text.toString();
  return asked ? `${path}?${asked}` : path;
}
