/**
 * What stands between flow code and the process it runs in: console and the standard streams go to the run's
 * log, `process.exit` ends the run and not its thread, and an error that nobody caught is charged to the run
 * it came from.
 */
import { format } from "node:util";
import { messageOf } from "../../shared/errors.ts";
import type { LogSeverity } from "../../shared/reports.ts";
import { currentRun } from "./capture.ts";

export interface GuardOptions {
  /** Text that belongs to no run that still goes on. */
  onOutput(text: string): void;
}

export function installGuards(options: GuardOptions): void {
  captureConsole(options);
  captureStreams(options);
  guardProcess();
  chargeUncaught(options);
}

const consoleSeverities: Record<string, LogSeverity> = {
  trace: "TRACE",
  debug: "DEBUG",
  info: "INFO",
  log: "INFO",
  dir: "INFO",
  dirxml: "INFO",
  table: "INFO",
  group: "INFO",
  groupCollapsed: "INFO",
  warn: "WARN",
  error: "ERROR",
};

function captureConsole({ onOutput }: GuardOptions): void {
  for (const [method, severity] of Object.entries(consoleSeverities)) {
    Object.defineProperty(console, method, {
      configurable: true,
      writable: true,
      enumerable: true,
      value: (...args: unknown[]) => {
        const run = currentRun.getStore();
        // `console.dir(value, options)`: the options are not part of what is said.
        const said = method === "dir" ? args.slice(0, 1) : args;
        if (run !== undefined && !run.isClosed()) run.log(severity, said);
        else onOutput(safeFormat(said));
      },
    });
  }
  const assert = (isTrue: unknown, ...args: unknown[]) => {
    if (!isTrue) console.error("Assertion failed:", ...args);
  };
  Object.defineProperty(console, "assert", { configurable: true, writable: true, value: assert });
}

function captureStreams({ onOutput }: GuardOptions): void {
  const streams = [
    [process.stdout, "INFO"],
    [process.stderr, "ERROR"],
  ] as const;
  for (const [stream, severity] of streams) {
    stream.write = ((chunk: unknown, encoding?: unknown, done?: unknown) => {
      const text = (
        typeof chunk === "string" ? chunk : Buffer.from(chunk as Uint8Array).toString()
      ).trimEnd();
      const run = currentRun.getStore();
      if (run !== undefined && !run.isClosed()) run.log(severity, ["%s", text]);
      else onOutput(text);
      const callback = typeof encoding === "function" ? encoding : done;
      if (typeof callback === "function") queueMicrotask(() => callback());
      return true;
    }) as typeof stream.write;
  }
}

function guardProcess(): void {
  process.exit = ((code?: number) => {
    const message = `The flow called process.exit(${code ?? ""}).`;
    currentRun.getStore()?.fail("RUN_KILLED_THREAD", message);
    throw new Error(message);
  }) as typeof process.exit;
  const kill = process.kill.bind(process);
  process.kill = (pid, signal) => {
    if (pid !== process.pid && pid !== 0 && pid !== -process.pid) return kill(pid, signal);
    const message = "The flow tried to kill the process that it runs in.";
    currentRun.getStore()?.fail("RUN_KILLED_THREAD", message);
    throw new Error(message);
  };
}

function chargeUncaught({ onOutput }: GuardOptions): void {
  const charge = (what: string) => (error: unknown) => {
    const message = `${what}: ${messageOf(error)}`;
    const run = currentRun.getStore();
    if (run === undefined || run.isClosed()) return onOutput(message);
    run.log("ERROR", [error]);
    run.fail("FLOW_FAILED", message);
  };
  // Not a listener: flow code that removes all listeners would make the next error end the thread.
  process.setUncaughtExceptionCaptureCallback(charge("An error outside of the flow's promise"));
  process.on("unhandledRejection", charge("A promise that nobody waited for was rejected"));
}

function safeFormat(args: unknown[]): string {
  try {
    return format(...args).slice(0, 8192);
  } catch {
    return "";
  }
}
