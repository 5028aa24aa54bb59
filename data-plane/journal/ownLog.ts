/**
 * The main thread's log: what happened to entries. Written at once (gathered for one turn of the loop), into the
 * page cache, which outlives the process; synced at most every 100 ms while something is not, and at once where
 * somebody waits for it.
 */
import { fdatasync, writeSync } from "node:fs";
import { messageOf } from "../../shared/errors.ts";
import { type Batch, makeRoom, newBatch, takeCallbacks } from "./batch.ts";
import { codeOf, JournalFullError } from "./errors.ts";
import { newSalt, type Stamp } from "./records.ts";
import { nextLife, type ReadySegment, readySegment, recordsFrom } from "./segments.ts";
import { newSegment, type Segment } from "./segmentTable.ts";
import { newSyncTimes, noteSync, type SyncTimes } from "./syncTimes.ts";

/** Where a record was written. */
export interface Place {
  segment: Segment;
  at: number;
  length: number;
}

export type Placed = (error: Error | null, place: Place | null) => void;

export interface OwnLog {
  /**
   * `write` puts the record into the buffer now, within `bytesMax`, and returns its end; `placed` is called when it
   * is written, or with `JournalFullError` when it is not.
   */
  append(bytesMax: number, write: (buffer: Buffer, at: number, stamp: Stamp) => number, placed: Placed): void;
  /** Writes what has gathered, before it returns. */
  flush(): void;
  /** Flushes; resolves when all of that is on disk. */
  sync(): Promise<void>;
  /** The segment that records of this turn of the loop go to. */
  target(): Segment;
  stats(): { commits: number; rows: number; bytes: number; failures: number; sync: SyncTimes };
  close(): Promise<void>;
}

export interface OwnLogOptions {
  folder: string;
  /** A file that is this long is followed by the next one. */
  segmentBytes: number;
  /** A new file is in use from now on. */
  onSegment(segment: Segment): void;
  /** The disk is full: returns true where something could be given up for it. */
  onDiskFull(): boolean;
  /** While it is, files are kept short, so that they can be given back one by one. */
  isDiskTight(): boolean;
  onNotice(level: "info" | "warn" | "error", fields: Record<string, unknown>, message: string): void;
}

export const ownLogName = "main";
const tightSegmentBytes = 512 * 1024;
const gatheredBytesMax = 64 * 1024 * 1024;
const syncAfterMs = 100;
const retryAfterMs = 100;

interface Open extends ReadySegment {
  segment: Segment;
}

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

/** What a callback needs to know where its record lies. */
interface Gathered {
  at: number;
  end: number;
  placed: Placed;
}

export async function openOwnLog(options: OwnLogOptions): Promise<OwnLog> {
  const { folder, segmentBytes, onSegment, onDiskFull, onNotice } = options;
  const life = await nextLife(folder, ownLogName);
  const stats = { commits: 0, rows: 0, bytes: 0, failures: 0, sync: newSyncTimes() };
  const batch: Batch<Gathered> = newBatch();
  let number = 0;
  let commit = 0;
  let next: Open | null = null;
  let preparing: Promise<void> | null = null;
  let attemptedAtMs = -Infinity;
  let isFailing = false;
  let isBroken = false;
  let isScheduled = false;
  let timer: NodeJS.Timeout | null = null;
  let isSyncing = false;
  let waiting: Waiting[] = [];
  /** Files with writes that are not synced. */
  let unsynced = new Set<Open>();

  const ready = async (): Promise<Open> => {
    number++;
    const name = { log: ownLogName, life, number };
    const file = await readySegment({ folder, name, salt: newSalt(), bytes: 0, isSynced: false });
    return { ...file, segment: newSegment(file.file, file.salt, true, recordsFrom) };
  };
  let current = await ready();
  onSegment(current.segment);

  function prepare(): void {
    if (preparing !== null || next !== null || performance.now() - attemptedAtMs < retryAfterMs) return;
    preparing = ready()
      .then(
        (open) => {
          next = open;
        },
        (error: unknown) => {
          noteFailure(error);
        },
      )
      .finally(() => {
        preparing = null;
      });
  }

  function rotateWhereDue(): void {
    const bytesMax = options.isDiskTight() ? Math.min(segmentBytes, tightSegmentBytes) : segmentBytes;
    const { end } = current.segment;
    if (end >= bytesMax / 2) prepare();
    if (end < bytesMax && !isBroken) return;
    // Nothing forces it to end there: the file grows on until the next one is ready.
    if (next === null) {
      prepare();
      return;
    }
    current.segment.isSealed = true;
    if (!unsynced.has(current) && !isSyncing) current.handle.close().catch(() => {});
    else unsynced.add(current);
    current = next;
    next = null;
    isBroken = false;
    onSegment(current.segment);
  }

  function noteFailure(error: unknown): JournalFullError {
    stats.failures++;
    attemptedAtMs = performance.now();
    if (!isFailing) {
      isFailing = true;
      const fields = { log: ownLogName, code: codeOf(error), reason: messageOf(error) };
      onNotice("error", fields, "the journal can't be written: runs wait for it");
    }
    return new JournalFullError(`The journal can't be written: ${messageOf(error)}`, { cause: error });
  }

  function flush(): void {
    if (batch.used === 0) return;
    const { segment } = current;
    const from = segment.end;
    const { used } = batch;
    const error = isBroken ? new JournalFullError("The journal can't be written.") : writeAll(from, used);
    const gathered = takeCallbacks(batch);
    if (error !== null) {
      for (const { placed } of gathered) placed(error, null);
      return;
    }
    segment.end += used;
    stats.commits++;
    stats.rows += gathered.length;
    stats.bytes += used;
    if (isFailing) {
      isFailing = false;
      onNotice("info", { log: ownLogName }, "the journal can be written again");
    }
    unsynced.add(current);
    timer ??= setTimeout(() => {
      timer = null;
      startSync();
    }, syncAfterMs);
    for (const { at, end, placed } of gathered) placed(null, { segment, at: from + at, length: end - at });
  }

  function writeAll(position: number, used: number): JournalFullError | null {
    if (isFailing && performance.now() - attemptedAtMs < retryAfterMs) {
      return new JournalFullError("The journal can't be written.");
    }
    for (let from = 0; from < used; ) {
      try {
        from += writeSync(current.handle.fd, batch.buffer, from, used - from, position + from);
      } catch (error) {
        if (["ENOSPC", "EDQUOT"].includes(codeOf(error)) && onDiskFull()) continue;
        return noteFailure(error);
      }
    }
    return null;
  }

  function startSync(): void {
    if (isSyncing) return;
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const files = [...unsynced];
    const waiters = waiting;
    unsynced = new Set();
    waiting = [];
    if (files.length === 0) {
      for (const { resolve } of waiters) resolve();
      return;
    }
    isSyncing = true;
    const startedAtMs = performance.now();
    Promise.all(files.map(syncFile)).then((errors) => {
      isSyncing = false;
      const error = errors.find((found) => found !== null) ?? null;
      if (error === null) noteSync(stats.sync, performance.now() - startedAtMs);
      const failure = error === null ? null : noteFailure(error);
      for (const waiter of waiters) {
        if (failure === null) waiter.resolve();
        else waiter.reject(failure);
      }
      if (waiting.length > 0) startSync();
    });
  }

  function syncFile(file: Open): Promise<Error | null> {
    return new Promise((resolve) => {
      fdatasync(file.handle.fd, (error) => {
        // After a failed sync nothing more is trusted to this file.
        if (error !== null && file === current) {
          isBroken = true;
          prepare();
        }
        if (file !== current && !unsynced.has(file)) file.handle.close().catch(() => {});
        resolve(error);
      });
    });
  }

  const sync = (): Promise<void> => {
    flush();
    return new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      startSync();
    });
  };

  return {
    append(bytesMax, write, placed) {
      if (!makeRoom(batch, bytesMax + 8, gatheredBytesMax)) {
        flush();
        makeRoom(batch, bytesMax + 8, gatheredBytesMax);
      }
      const { salt } = current;
      if (batch.used === 0) commit++;
      const at = batch.used;
      let end: number;
      try {
        end = write(batch.buffer, at, { salt, commit, underWay: 0 });
      } catch (error) {
        placed(error as Error, null);
        return;
      }
      batch.used = end;
      batch.callbacks.push({ at, end, placed });
      if (!isScheduled) {
        isScheduled = true;
        setImmediate(() => {
          isScheduled = false;
          flush();
          rotateWhereDue();
        });
      }
    },
    flush,
    sync,
    target: () => current.segment,
    stats: () => ({ ...stats, sync: { ...stats.sync, buckets: [...stats.sync.buckets] } }),
    async close() {
      await sync().catch(() => {});
      if (timer !== null) clearTimeout(timer);
      await preparing;
      await current.handle.close();
      await next?.handle.close();
    },
  };
}
