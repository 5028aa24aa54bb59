/**
 * The serving thread on one core; its process's other threads, the control plane, the load and this process on
 * the other. Without taskset, or with one core, nothing is pinned, and the report says so.
 */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { threadsOf } from "./procfs.ts";

const servingCore = "0";
const otherCore = "1";
/** The name that a data plane's first ingress thread goes by. */
const ingressThreadName = "ingress-0";

export interface Server {
  pid: number;
  /** The thread that serves requests. */
  tid: number;
}

export const canPin = cpus().length >= 2 && hasTaskset();

function hasTaskset(): boolean {
  try {
    execFileSync("taskset", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** This process, and all that it starts from here on, go to the core of the load. */
export function pinSelf(): void {
  if (canPin) setAffinity(process.pid, otherCore, true);
}

/** To be called again after the warm-up: a thread inherits the core of the thread that made it. */
export function pinServer({ pid, tid }: Server): void {
  if (!canPin) return;
  setAffinity(pid, otherCore, true);
  setAffinity(tid, servingCore, false);
}

/** A data plane's ingress thread: `nameThread.cjs` has given it its name. */
export function servingThread(pid: number): Server {
  const ingress = threadsOf(pid).find(({ name }) => name === ingressThreadName);
  if (ingress === undefined) throw new Error(`Data plane ${pid} has no thread ${ingressThreadName}.`);
  return { pid, tid: ingress.tid };
}

function setAffinity(id: number, core: string, isWholeProcess: boolean): void {
  const args = [...(isWholeProcess ? ["-a"] : []), "-p", "-c", core, String(id)];
  try {
    execFileSync("taskset", args, { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    // With -a it fails where one of the threads ends meanwhile; the others are set.
    if (!isWholeProcess) throw error;
  }
}
