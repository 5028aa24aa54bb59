/**
 * The journal: what was accepted, on disk before it is answered, until the control plane has confirmed its
 * record. One interface (append, claim, report, confirm; all in batches); this one stands on SQLite in a
 * worker thread, which syncs once for everything that came while the last sync was under way.
 */
import { Worker } from "node:worker_threads";
import type { InvokeType, ReportEvent, StoredRequest } from "../shared/reports.ts";
import type { Pin } from "./replica.ts";

/** Where a journaled execution starts: the pins say with what, the rest which flow. */
export interface EntryRoute {
  kind: "flow" | "preprocess";
  endpointKind: "flow" | "instance" | "shared";
  definitionPin: string;
  /** Null for a shared endpoint that is not routed yet. */
  instancePin: string | null;
  integrationPin: string;
  definitionDigest: string;
  versionId: string;
  versionNumber: number;
  flowStableKey: string;
  userId: string | null;
}

/** An accepted request. */
export interface Entry {
  /** The execution's uuid. */
  id: string;
  attempt: number;
  /** True after a crash: that it runs must be on disk before it does, so that it can be blamed for the next. */
  isSuspect: boolean;
  invokeType: InvokeType;
  isDebug: boolean;
  replayOf: string | null;
  invokedBy: string | null;
  /** Set for a test of an endpoint's configuration: routed to the system instance. */
  isEndpointTest: boolean;
  route: EntryRoute;
  /** Without the body, which is beside it. */
  request: Omit<StoredRequest, "body">;
  body: Uint8Array | null;
}

export interface RecoveredEntry {
  entry: Entry;
  /** JSON of what `entry.route` names, by pin key. */
  pins: Record<string, string>;
  /** How many attempts took the process down. */
  crashes: number;
}

export interface StoredReport {
  /** Position in the journal. */
  position: number;
  event: ReportEvent;
}

export interface Journal {
  /**
   * Resolves when the entry is on disk: with false where it was there already (a command handed out twice).
   * Rejects with `JournalFullError`. A held entry waits to be claimed.
   */
  append(entry: Entry, pins: Pin[], isHeld: boolean): Promise<boolean>;
  /** Resolves when it is on disk that the entry's code is about to run. */
  markRunning(id: string): Promise<void>;
  /**
   * Stores an event of an execution or a rejection. With `isEnd` its entry will not run again. Rejects with
   * `JournalFullError` for a rejection when the journal is at its bound.
   */
  report(event: ReportEvent, isEnd: boolean): Promise<void>;
  /**
   * Entries that were held, or that an earlier process left: those that were running at the fewest deaths of
   * the process first, then by age. Each is handed out once.
   */
  claim(most: number): Promise<RecoveredEntry[]>;
  /** Events behind `after`, oldest first, within `bytesMax` (but at least one). */
  reports(after: number, most: number, bytesMax: number): Promise<StoredReport[]>;
  /** Drops confirmed events, and the entries that ended with them. */
  confirm(positions: number[]): Promise<void>;
  /** Of these master keys (by fingerprint) those that something which an unfinished entry needs is sealed under. */
  sealedUnder(fingerprints: string[]): Promise<string[]>;
  stats(): JournalStats;
  isClosed(): boolean;
  /** Finishes what was given to it and closes the file. */
  close(): Promise<void>;
}

export interface JournalStats {
  entries: number;
  bytes: number;
  commits: number;
  operations: number;
}

export class JournalFullError extends Error {
  override name = "JournalFullError";
}

export interface JournalOptions {
  folder: string;
  entriesMax: number;
  bytesMax: number;
}

export type JournalOperation =
  | { type: "append"; entry: Entry; pins: Pin[]; bytes: number; isHeld: boolean }
  | { type: "markRunning"; id: string }
  | { type: "report"; event: ReportEvent; isEnd: boolean }
  | { type: "claim"; most: number }
  | { type: "reports"; after: number; most: number; bytesMax: number }
  | { type: "confirm"; positions: number[] }
  | { type: "sealedUnder"; fingerprints: string[] }
  | { type: "prunePins" }
  | { type: "close" };

export interface JournalBatch {
  operations: JournalOperation[];
}

/** One result for each operation, or one error for the whole batch: a batch is one transaction. */
export type JournalReply =
  | { results: unknown[]; entries: number; bytes: number }
  | { error: string; isFull: boolean };

/** Each entry and report weighs this much on top of its own bytes: rows, indexes, pages. */
const overheadBytes = 512;
const batchMax = 2000;
const prunePinsEveryMs = 60_000;

interface Waiting {
  operation: JournalOperation;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** Opens (and recovers) the journal in `folder`; rejects where it can't be used. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const worker = new Worker(new URL("./journalThread.ts", import.meta.url), {
    workerData: { folder: options.folder },
  });
  const opened = await new Promise<{ entries: number; bytes: number }>((resolve, reject) => {
    worker.once("message", (message: { entries: number; bytes: number } | { openError: string }) => {
      if ("openError" in message) reject(new Error(message.openError));
      else resolve(message);
    });
    worker.once("error", reject);
  });
  return journalOn(worker, options, opened);
}

function journalOn(
  worker: Worker,
  options: JournalOptions,
  opened: { entries: number; bytes: number },
): Journal {
  let waiting: Waiting[] = [];
  let committing: Waiting[] | null = null;
  let isClosed = false;
  // What is on disk by the last reply, and what is on its way there.
  let stored = opened;
  let pending = { entries: 0, bytes: 0 };
  const knownPins = new Set<string>();
  const stats = { commits: 0, operations: 0 };

  const sendNext = () => {
    if (committing !== null || waiting.length === 0) return;
    committing = waiting.length > batchMax ? waiting.splice(0, batchMax) : waiting;
    if (committing === waiting) waiting = [];
    const batch: JournalBatch = {
      operations: committing.map(({ operation }) => withNewPins(operation, knownPins)),
    };
    worker.postMessage(batch);
  };
  worker.on("message", (reply: JournalReply) => {
    const batch = committing ?? [];
    committing = null;
    for (const { operation } of batch) {
      if (operation.type === "append") {
        pending = { entries: pending.entries - 1, bytes: pending.bytes - operation.bytes };
      }
    }
    if ("error" in reply) {
      // Nothing of the batch was kept, so neither were its pins.
      knownPins.clear();
      const error = reply.isFull ? new JournalFullError(reply.error) : new Error(reply.error);
      for (const { reject } of batch) reject(error);
    } else {
      stats.commits++;
      stats.operations += batch.length;
      stored = { entries: reply.entries, bytes: reply.bytes };
      for (const [index, { resolve }] of batch.entries()) resolve(reply.results[index]);
    }
    sendNext();
  });
  const fail = (error: Error) => {
    isClosed = true;
    for (const { reject } of [...(committing ?? []), ...waiting]) reject(error);
    committing = null;
    waiting = [];
  };
  worker.on("error", (error: Error) => fail(error));
  worker.on("exit", () => fail(new Error("The journal is closed.")));

  const enqueue = <Result>(operation: JournalOperation): Promise<Result> => {
    if (isClosed) return Promise.reject(new JournalFullError("The journal is closed."));
    return new Promise<Result>((resolve, reject) => {
      waiting.push({ operation, resolve: resolve as (result: unknown) => void, reject });
      // Everything of this turn of the event loop goes into one batch.
      if (waiting.length === 1) setImmediate(sendNext);
    });
  };

  const pruner = setInterval(() => {
    if (knownPins.size > 0) enqueue({ type: "prunePins" }).catch(() => {});
  }, prunePinsEveryMs);
  pruner.unref();

  return {
    append(entry, pins, isHeld) {
      const bytes = (entry.body?.byteLength ?? 0) + overheadBytes;
      if (
        stored.entries + pending.entries >= options.entriesMax ||
        stored.bytes + pending.bytes + bytes > options.bytesMax
      ) {
        return Promise.reject(new JournalFullError("The journal is at its bound."));
      }
      pending = { entries: pending.entries + 1, bytes: pending.bytes + bytes };
      return enqueue<boolean>({ type: "append", entry, pins, bytes, isHeld });
    },
    markRunning: (id) => enqueue({ type: "markRunning", id }),
    report(event, isEnd) {
      // A kept refusal is new work like a webhook; the record of what was accepted always gets its place.
      const bytes = event.kind === "rejection" ? (event.request?.body?.length ?? 0) + overheadBytes : 0;
      if (bytes > 0 && stored.bytes + pending.bytes + bytes > options.bytesMax) {
        return Promise.reject(new JournalFullError("The journal is at its bound."));
      }
      return enqueue<void>({ type: "report", event, isEnd });
    },
    claim: (most) => enqueue({ type: "claim", most }),
    reports: (after, most, bytesMax) => enqueue({ type: "reports", after, most, bytesMax }),
    confirm: (positions) => enqueue({ type: "confirm", positions }),
    sealedUnder: (fingerprints) => enqueue({ type: "sealedUnder", fingerprints }),
    isClosed: () => isClosed,
    stats: () => ({
      entries: stored.entries + pending.entries,
      bytes: stored.bytes + pending.bytes,
      ...stats,
    }),
    async close() {
      if (isClosed) return;
      clearInterval(pruner);
      const closed = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
      await enqueue({ type: "close" });
      isClosed = true;
      await closed;
    },
  };
}

/**
 * The operation with only those pins that the journal does not hold yet. Decided when a batch is sent: no
 * other is under way then, so what is known to be stored is stored.
 */
function withNewPins(operation: JournalOperation, knownPins: Set<string>): JournalOperation {
  if (operation.type === "prunePins") knownPins.clear();
  if (operation.type !== "append") return operation;
  const pins = operation.pins.filter((pin) => !knownPins.has(pin.key));
  for (const pin of pins) knownPins.add(pin.key);
  return { ...operation, pins };
}
