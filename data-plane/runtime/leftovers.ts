/**
 * What a run opened and did not close: timers, connections, servers, child processes. They would go on beside other
 * runs, so the run's record says so. Only what a run opens costs something: its current run is looked up and it is put
 * into a list. (Hooks of async_hooks see more, but are called for every promise of every run.)
 */
import childProcess from "node:child_process";
import dgram from "node:dgram";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import timers from "node:timers";
import { currentRun, type RunCapture } from "./capture.ts";

export interface Leftovers {
  /** What the run left, as a sentence for its log; null where it left nothing. */
  describe(run: RunCapture): string | null;
  /** The run has ended: what it left counts against the thread. */
  keep(run: RunCapture): void;
  /** True where nothing is open that a run has left. */
  isNone(): boolean;
  /** True where so much was left that the thread should make room for a new one. */
  isTooMuch(): boolean;
}

/** One thing that was opened. */
interface Opened {
  kind: "timer" | "connection" | "server" | "child process";
  isOpen(): boolean;
  /** To tell it from others; "" where there is nothing to say. */
  name(): string;
}

/** More of them, left by all runs, than a thread should carry along. */
const leftMax = 200;
const namesMax = 3;
/** A run that opens one timer after another has few open at once: closed ones are dropped at this length. */
const pruneFrom = 64;

export function installLeftovers(): Leftovers {
  const openedBy = new WeakMap<RunCapture, Opened[]>();
  let left: Opened[] = [];

  function note(opened: Opened): void {
    const run = currentRun.getStore();
    if (run === undefined) return;
    const list = openedBy.get(run);
    if (list === undefined) openedBy.set(run, [opened]);
    else {
      list.push(opened);
      if (list.length >= pruneFrom && (list.length & (list.length - 1)) === 0) removeClosed(list);
    }
  }

  watchTimers(note);
  watchMethod(net.Socket.prototype, "connect", (socket) => note(connection(socket)));
  watchMethod(net.Server.prototype, "listen", (server) => note(listening(server)));
  watchMethod(dgram.Socket.prototype, "bind", (socket) => note(datagrams(socket)));
  watchMethod(childProcess.ChildProcess.prototype as unknown as Spawning, "spawn", (child) =>
    note(running(child as unknown as childProcess.ChildProcess)),
  );
  syncBuiltinESMExports();

  const openOf = (run: RunCapture): Opened[] => (openedBy.get(run) ?? []).filter((opened) => opened.isOpen());
  return {
    describe(run) {
      if (!openedBy.has(run)) return null;
      const open = openOf(run);
      return open.length === 0 ? null : sentence(open);
    },
    keep(run) {
      if (!openedBy.has(run)) return;
      left.push(...openOf(run));
      openedBy.delete(run);
      if (left.length > leftMax) left = left.filter((opened) => opened.isOpen());
    },
    isNone: () => !left.some((opened) => opened.isOpen()),
    isTooMuch: () => left.length > leftMax,
  };
}

function removeClosed(list: Opened[]): void {
  const open = list.filter((opened) => opened.isOpen());
  list.length = 0;
  list.push(...open);
}

function sentence(open: readonly Opened[]): string {
  const kinds = [...new Set(open.map(({ kind }) => kind))].map((kind) => {
    const these = open.filter((opened) => opened.kind === kind);
    const names = [...new Set(these.map((opened) => opened.name()))].filter((name) => name !== "");
    const shown = names.slice(0, namesMax).join(", ") + (names.length > namesMax ? ", ..." : "");
    const plural = kind === "child process" ? "es" : "s";
    return `${these.length} ${kind}${these.length === 1 ? "" : plural}${shown === "" ? "" : ` (${shown})`}`;
  });
  return `The run ended and left open: ${kinds.join(", ")}. They go on beside other runs: clear and close them before the flow returns.`;
}

/** Both are functions of Node's with members of their own (`util.promisify` looks for one), which stay. */
function watchTimers(note: (opened: Opened) => void): void {
  for (const name of ["setTimeout", "setInterval"] as const) {
    const original = timers[name] as (...args: unknown[]) => NodeJS.Timeout;
    const watched = (...args: unknown[]) => {
      const timer = original(...args);
      note(pending(timer));
      return timer;
    };
    for (const key of Reflect.ownKeys(original)) {
      const member = Object.getOwnPropertyDescriptor(original, key)!;
      if (key !== "prototype") Object.defineProperty(watched, key, member);
    }
    (timers as Record<string, unknown>)[name] = watched;
    (globalThis as Record<string, unknown>)[name] = watched;
  }
}

interface Spawning {
  spawn(...args: unknown[]): unknown;
}

function watchMethod<T extends object, Name extends keyof T & string>(
  prototype: T,
  name: Name,
  note: (self: T) => void,
): void {
  const original = prototype[name] as (...args: unknown[]) => unknown;
  prototype[name] = function (this: T, ...args: unknown[]) {
    const result = original.apply(this, args);
    note(this);
    return result;
  } as T[Name];
}

/** One that is unreferenced says itself that nobody needs to wait for it. */
const pending = (timer: NodeJS.Timeout): Opened => ({
  kind: "timer",
  isOpen: () => !(timer as unknown as { _destroyed: boolean })._destroyed && timer.hasRef(),
  name: () => `${(timer as unknown as { _idleTimeout: number })._idleTimeout} ms`,
});

interface HttpSocket {
  /** Node's own: what it carries; null where it waits in an agent. */
  _httpMessage?: { res?: { complete?: boolean } } | null;
  _handle?: { hasRef?(): boolean } | null;
}

/** Agents and pools keep connections for the next request: unreferenced, where they are Node's own or undici's. */
function connection(socket: net.Socket): Opened {
  const name = () =>
    `${(socket as { _host?: string | null })._host ?? socket.remoteAddress ?? ""}${socket.remotePort === undefined ? "" : `:${socket.remotePort}`}`;
  return {
    kind: "connection",
    name,
    isOpen() {
      if (socket.destroyed || socket.writableEnded) return false;
      const { _httpMessage: message, _handle: handle } = socket as HttpSocket;
      if (message === null || message?.res?.complete === true) return false;
      return handle?.hasRef?.() !== false;
    },
  };
}

const listening = (server: net.Server): Opened => ({
  kind: "server",
  isOpen: () => server.listening,
  name: () => "",
});

function datagrams(socket: dgram.Socket): Opened {
  let isClosed = false;
  socket.once("close", () => {
    isClosed = true;
  });
  return { kind: "connection", isOpen: () => !isClosed, name: () => "UDP" };
}

const running = (child: childProcess.ChildProcess): Opened => ({
  kind: "child process",
  isOpen: () => child.pid !== undefined && child.exitCode === null && child.signalCode === null,
  name: () => (child.spawnfile ?? "").slice(0, 100),
});
