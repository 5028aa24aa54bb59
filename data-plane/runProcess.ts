/**
 * A run thread in a process of its own, as the main thread sees it: the process (runProcessChild.ts) has the thread
 * inside and hands on what both say. What stands in memory that threads share, the process tells twice a second or so.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { flowEnvironment } from "../shared/config.ts";
import { messageOf } from "../shared/errors.ts";
import type { LastWord } from "./runtime/lastWords.ts";
import type { FromThread, ToThread } from "./runtime/messages.ts";
import { encodeRuns } from "./runtime/runBatch.ts";
import type { Thread, ThreadOptions } from "./thread.ts";

export type ToProcess =
  | { kind: "start"; options: Omit<ThreadOptions, "onMessage" | "onExit"> }
  | { kind: "to"; message: ToThread };

export type FromProcess =
  | { kind: "from"; message: FromThread }
  | ({ kind: "status"; hasBeaten: boolean; externalBytes: number } & LastState)
  | ({ kind: "exit"; reason: string } & LastState);

interface LastState {
  taken: number;
  rested: number;
  /** What the thread wrote and did not send: told only of one whose event loop stands still. */
  words: LastWord[];
}

export function startRunProcess({ onMessage, onExit, ...options }: ThreadOptions): Thread {
  const child = fork(fileURLToPath(new URL("./runProcessChild.ts", import.meta.url)), {
    serialization: "advanced",
    // None of the server's own: what flow code sees is this, and it is the whole of the process.
    env: flowEnvironment(options.outbound.proxy !== undefined),
    execArgv: ["--disable-warning=ExperimentalWarning"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  let isOver = false;
  let hasBeaten = false;
  let externalBytes = 0;
  let last: LastState = { taken: 0, rested: 0, words: [] };
  const end = (reason: string) => {
    if (isOver) return;
    isOver = true;
    child.kill("SIGKILL");
    onExit(reason);
  };
  /** Nobody knows what it had begun: all that it was sent. */
  const die = (reason: string) => {
    last = { ...last, taken: Number.POSITIVE_INFINITY };
    end(reason);
  };
  child.on("message", (message: FromProcess) => {
    if (isOver) return;
    if (message.kind === "from") return onMessage(message.message);
    last = { taken: message.taken, rested: message.rested, words: message.words };
    if (message.kind === "exit") return end(message.reason);
    hasBeaten ||= message.hasBeaten;
    externalBytes = message.externalBytes;
  });
  child.on("error", (error) => die(`The process failed: ${messageOf(error)}`));
  child.on("exit", (code, signal) => die(`The process ended (${signal ?? code}).`));

  const tell = (message: ToProcess) => {
    // Of one that is ending `exit` tells.
    if (!isOver && child.connected) child.send(message, () => {});
  };
  tell({ kind: "start", options });
  return {
    send: (message) => tell({ kind: "to", message }),
    sendRuns: (runs) => tell({ kind: "to", message: { kind: "runs", batch: encodeRuns(runs) } }),
    taken: () => last.taken,
    rested: () => last.rested,
    hasBeaten() {
      const had = hasBeaten;
      hasBeaten = false;
      return had;
    },
    externalBytes: async () => externalBytes,
    lastWords: () => last.words,
    terminate() {
      isOver = true;
      child.kill("SIGKILL");
    },
  };
}
