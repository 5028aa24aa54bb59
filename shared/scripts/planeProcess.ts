/** One plane as a child process: started, told from its first lines where it listens, stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export type PlaneName = "control-plane" | "data-plane";

export interface PlaneProcess {
  name: PlaneName;
  child: ChildProcess;
  /** Resolves when it listens; rejects with `PlaneEndedError` where it ends before that. */
  listening: Promise<void>;
  /** Where it listens; empty until then. */
  url: string;
  /** The admin token, where the control plane has just made one. */
  adminToken: string | undefined;
  /** Resolves with the exit code (or the signal's name) once the process has ended. */
  ended: Promise<number | string>;
  /** Asks it to drain, waits for its end, and ends it the hard way after `timeoutMs`. */
  stop(timeoutMs: number): Promise<void>;
}

export interface PlaneOptions {
  /** Settings beside this process's own environment; `undefined` takes one away. */
  environment?: Record<string, string | undefined>;
  /** Settings for those that the environment leaves out. */
  defaults?: Record<string, string>;
  /** Where the plane's stderr goes: its logs, and the sentence that says why it could not start. */
  stderr?: "inherit" | "ignore" | ((text: string) => void);
}

/** The plane ended before it listened: it has said why on its stderr. */
export class PlaneEndedError extends Error {
  override name = "PlaneEndedError";
}

const startTimeoutMs = 60_000;
const readyPollMs = 50;
const repository = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** As in the scripts of package.json, too: see keepStripped.mjs. */
const moduleOptions = [
  // It calls taking types away an experiment.
  "--disable-warning=ExperimentalWarning",
  "--import",
  new URL("../keepStripped.mjs", import.meta.url).href,
];
/**
 * As in the scripts of package.json. Control plane: with a larger young generation what a batch of reports needs is not
 * promoted. Data plane: a collection that is shared among threads waits for all of them to get a turn, and on two
 * busy cores that is milliseconds (accept alone: 23,000 a second instead of 16,000, p99 12 ms instead of 20).
 */
const nodeOptions: Record<PlaneName, string[]> = {
  "control-plane": ["--max-semi-space-size=64"],
  "data-plane": ["--no-parallel-scavenge"],
};

export function spawnPlane(name: PlaneName, options: PlaneOptions = {}): PlaneProcess {
  const stderr = options.stderr ?? "inherit";
  const child = spawn(
    process.execPath,
    [...moduleOptions, ...nodeOptions[name], join(repository, name, "main.ts")],
    {
      // The one place where a script hands its own environment on: the plane reads its settings from it.
      env: { ...options.defaults, ...process.env, ...options.environment },
      stdio: ["ignore", "pipe", typeof stderr === "function" ? "pipe" : stderr],
      // A process group of its own: Ctrl-C in a terminal reaches the starter only, which stops the planes in order.
      detached: true,
    },
  );
  if (typeof stderr === "function") child.stderr?.setEncoding("utf8").on("data", stderr);
  const ended = new Promise<number | string>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"));
    child.once("error", (error) => resolve(error.message));
  });
  const plane: PlaneProcess = {
    name,
    child,
    listening: Promise.resolve(),
    url: "",
    adminToken: undefined,
    ended,
    stop: (timeoutMs) => stopChild(child, ended, timeoutMs),
  };
  plane.listening = untilListening(plane);
  return plane;
}

async function untilListening(plane: PlaneProcess): Promise<void> {
  const label = plane.name.replace("-", " ");
  const { promise, resolve } = Promise.withResolvers<"listening">();
  // The lines are read to the end, so that the pipe never fills up.
  createInterface({ input: plane.child.stdout! }).on("line", (line) => {
    const [, key, value = ""] =
      /^(admin token:|(?:control|data) plane listening on) (\S+)$/.exec(line.trim()) ?? [];
    if (key === "admin token:") plane.adminToken = value;
    if (key === `${label} listening on`) {
      plane.url = value;
      // The token may stand in the next line of the same chunk.
      setImmediate(resolve, "listening");
    }
  });
  const timer = new AbortController();
  const tooLate = sleep(startTimeoutMs, "late" as const, { signal: timer.signal }).catch(
    () => "late" as const,
  );
  const first = await Promise.race([promise, plane.ended, tooLate]);
  timer.abort();
  if (first === "listening") return;
  if (first !== "late") throw new PlaneEndedError(`The ${label} ended (${first}) before it listened.`);
  plane.child.kill("SIGKILL");
  throw new Error(`The ${label} did not start in ${startTimeoutMs} ms.`);
}

async function stopChild(
  child: ChildProcess,
  ended: Promise<number | string>,
  timeoutMs: number,
): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  await ended;
  clearTimeout(timer);
}

/** Resolves when `GET <url>/readyz` answers 200. */
export async function waitUntilReady(url: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isReady(url))) {
    if (Date.now() > deadline) throw new Error(`${url} did not become ready in ${timeoutMs} ms.`);
    await sleep(readyPollMs);
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) });
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}
