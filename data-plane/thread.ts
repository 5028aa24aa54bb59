/** One run thread as the main thread sees it: messages, heartbeat, and how it died. */
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { flowEnvironment } from "../shared/config.ts";
import { messageOf } from "../shared/errors.ts";
import type { OutboundSettings } from "../shared/outbound.ts";
import {
  beatsOf,
  type LastWord,
  newLastWords,
  readLastWords,
  restedOf,
  takenOf,
} from "./runtime/lastWords.ts";
import type { FromThread, ThreadStart, ToThread } from "./runtime/messages.ts";
import { encodeRuns, type RunToSend } from "./runtime/runBatch.ts";

export interface Thread {
  send(message: ToThread): void;
  /** Each run's context must have been sent before. */
  sendRuns(runs: readonly RunToSend[]): void;
  /** How many pieces of work the thread has taken: what was sent later never began. */
  taken(): number;
  /** How many it had taken when it came to rest: it does not beat until it takes more. */
  rested(): number;
  /** True where the thread's event loop turned since the last call. */
  hasBeaten(): boolean;
  /** Bytes outside of the JavaScript heap, which the heap's limit does not count. */
  externalBytes(): Promise<number>;
  lastWords(): LastWord[];
  /** Ends it whatever it does. Messages that it sent before have been handled when this returns. */
  terminate(): void;
}

export interface ThreadOptions {
  memoryMb: number;
  beatIntervalMs: number;
  answerBytesMax: number;
  storedResults: ThreadStart["storedResults"];
  outbound: OutboundSettings;
  onMessage(message: FromThread): void;
  /** It ended by itself; not called after `terminate`. */
  onExit(reason: string): void;
}

export const progressIntervalMs = 500;
const bytesPerMb = 1024 * 1024;

export function startThread(options: ThreadOptions): Thread {
  const shared = newLastWords();
  const { port1: port, port2 } = new MessageChannel();
  const start: ThreadStart = {
    port: port2,
    shared,
    beatIntervalMs: options.beatIntervalMs,
    progressIntervalMs,
    answerBytesMax: options.answerBytesMax,
    storedResults: options.storedResults,
    memoryMb: options.memoryMb,
    outbound: options.outbound,
  };
  const worker = new Worker(new URL("./runtime/thread.ts", import.meta.url), {
    workerData: start,
    transferList: [port2],
    env: flowEnvironment(options.outbound.proxy !== undefined),
    execArgv: ["--disable-warning=ExperimentalWarning"],
    // The young generation stays as it is: with 64 MB of it no-op runs took a fifth less CPU, and flow code that fills
    // a small heap took the whole process down instead of its thread.
    resourceLimits: { maxOldGenerationSizeMb: options.memoryMb },
    stdin: false,
    stdout: true,
    stderr: true,
    name: "switchyard-runs",
  });
  // The thread captures both streams itself; what gets around that must not pile up here.
  worker.stdout.resume();
  worker.stderr.resume();
  let isOver = false;
  let reason = "The thread ended.";
  let beats = 0;
  port.on("message", options.onMessage);
  worker.on("error", (error) => {
    const isMemory = (error as { code?: unknown }).code === "ERR_WORKER_OUT_OF_MEMORY";
    reason = isMemory
      ? `The thread ran out of memory (${options.memoryMb} MB).`
      : `The thread failed: ${messageOf(error)}`;
  });
  worker.on("exit", () => {
    if (isOver) return;
    finish();
    options.onExit(reason);
  });

  function finish(): void {
    isOver = true;
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      options.onMessage(next.message);
    }
    port.close();
  }

  return {
    send: (message) => port.postMessage(message),
    sendRuns(runs) {
      const batch = encodeRuns(runs);
      port.postMessage({ kind: "runs", batch } satisfies ToThread, [batch]);
    },
    taken: () => takenOf(shared),
    rested: () => restedOf(shared),
    hasBeaten() {
      const before = beats;
      beats = beatsOf(shared);
      return beats !== before;
    },
    async externalBytes() {
      try {
        return isOver ? 0 : (await worker.getHeapStatistics()).external_memory;
      } catch {
        return 0; // It ended meanwhile.
      }
    },
    lastWords: () => readLastWords(shared),
    terminate() {
      if (isOver) return;
      finish();
      // Not waited for: a thread inside a native call ends when that call returns.
      worker.terminate().catch(() => {});
    },
  };
}

export const memoryBytes = (memoryMb: number): number => memoryMb * bytesPerMb;
