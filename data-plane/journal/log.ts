/**
 * The log of an ingress thread: accepted requests and kept refusals, on disk before `done` is called. Two writes
 * at a time at most, to a file opened with O_DSYNC whose blocks are there already; what comes meanwhile gathers for
 * the next write, which begins when one of them ends. No timers, no waiting for fuller batches.
 */
import { write as writeFile, writeSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../shared/errors.ts";
import { type Batch, makeRoom, newBatch, takeCallbacks } from "./batch.ts";
import { inlineBodyBytesMax, makeBodiesFolder, removeBody, storeBody } from "./bodies.ts";
import { weightOf } from "./bounds.ts";
import { codeOf, JournalFullError } from "./errors.ts";
import { createPace } from "./pace.ts";
import {
  entryBytesMax,
  type NewEntry,
  type NewRejection,
  newSalt,
  rejectionBytesMax,
  type Stamp,
  writeEntry,
  writeRejection,
} from "./records.ts";
import { nextLife, type ReadySegment, readySegment, recordsFrom } from "./segments.ts";
import { copyOf, newSyncTimes, noteSync, type SyncTimes } from "./syncTimes.ts";

/** Called once: with null when the record is on disk, with `JournalFullError` when it is not. */
export type Done = (error: Error | null) => void;

export interface Log {
  /**
   * Copies the record into the batch that gathers, and calls `done` after the batch's write: the callbacks of one
   * batch in order and synchronously, from one callback of libuv. Never throws, never calls `done` before it
   * returns. A body above 256 KB goes to a file of its own first: it must not change until `done`.
   * The caller has reserved `weightOf(metaJson.length, body length)` in the bounds, and releases it on an error.
   */
  appendEntry(entry: NewEntry, done: Done): void;
  /** The same for a refusal; its weight is `weightOf(json.length, body length)`. */
  appendRejection(rejection: NewRejection, done: Done): void;
  /** False while its disk fails: appends would be refused at once. */
  isWell(): boolean;
  stats(): LogStats;
  /** Resolves when what was appended is on disk (or refused) and the file is closed. */
  close(): Promise<void>;
}

export interface LogStats {
  commits: number;
  rows: number;
  /** Written, records only. */
  bytes: number;
  /** Writes, and preparations of a file, that failed. */
  failures: number;
  /** From the begin of a commit's write to its end. */
  sync: SyncTimes;
}

export interface LogOptions {
  /** The journal's folder; it must exist. */
  folder: string;
  /** Small letters, digits and dashes; one open log a name. Not "main". */
  name: string;
  /**
   * The file is on disk up to this byte. Called after each commit, right after its callbacks: who waits is answered
   * before the main thread is woken, which may want the same core. What it tells is to be given to `Journal.follow`,
   * and may be coalesced within a file, but the last call for each file must arrive.
   */
  onSynced(file: string, upTo: number): void;
  onNotice(level: "info" | "warn" | "error", fields: Record<string, unknown>, message: string): void;
  /** Files grow from the least to the most, doubling, with the use that is made of them. */
  segmentBytes?: { least: number; most: number };
}

/** An idle journal is small, a busy one changes files seldom. */
const usualSegmentBytes = { least: 4 * 1024 * 1024, most: 64 * 1024 * 1024 };
/** The rest of a file that is left unused rather than written beyond, which would cost a slower sync. */
const sparedBytesMax = 256 * 1024;
const gatheredBytesMax = 32 * 1024 * 1024;
/** While writing fails, appends in between are refused at once. */
const retryAfterMs = 100;
/** A next file that could not be made ready is tried again while the present one is still good. */
const prepareAgainAfterMs = 1000;

/**
 * With one at a time the thread has nothing to do while a disk syncs and all senders wait for it; a third one makes
 * batches smaller and no more of it.
 */
const flightsMax = 2;

/** A batch on its way to disk. */
interface Flight {
  batch: Batch<Done>;
  /** Where in the file. */
  at: number;
  startedAtMs: number;
  end: "none" | "written" | Error;
}

/** The file after the present one. Its salt is known before it is there. */
interface NextSegment {
  salt: number;
  number: number;
  ready: ReadySegment | null;
  isPreparing: boolean;
  failedAtMs: number;
}

export async function openLog(options: LogOptions): Promise<Log> {
  const { folder, name, onSynced, onNotice, segmentBytes = usualSegmentBytes } = options;
  const sparedBytes = Math.min(sparedBytesMax, segmentBytes.least / 16);
  await makeBodiesFolder(folder);
  const life = await nextLife(folder, name);
  const stats = { commits: 0, rows: 0, bytes: 0, failures: 0, sync: newSyncTimes() };

  let current: ReadySegment | null = null;
  /** The present file is on disk up to here, and handed out to be written up to `end`. */
  let position = 0;
  let end = 0;
  let next: NextSegment = nextAfter(0);
  let bytesWished = segmentBytes.least;
  let gathering: Batch<Done> = newBatch();
  const spares: Batch<Done>[] = [];
  /** Oldest first. */
  const flights: Flight[] = [];
  /** Why one of them has failed: no other one begins before it is known what became of all. */
  const failure = (): Error | null => {
    for (const { end } of flights) if (end instanceof Error) return end;
    return null;
  };
  let commit = 0;
  let isScheduled = false;
  let isClosing = false;
  let failingSinceMs: number | null = null;
  let attemptedAtMs = -Infinity;
  const pace = createPace();
  let storing = 0;
  let preparing: Promise<void> | null = null;
  /** What was refused, off the files that failed. */
  let cutting: Promise<void> = Promise.resolve();
  let whenIdle: (() => void) | null = null;

  function prepare(): void {
    if (next.isPreparing || next.ready !== null) return;
    const wanted = next;
    wanted.isPreparing = true;
    preparing = readySegment({
      folder,
      name: { log: name, life, number: wanted.number },
      salt: wanted.salt,
      bytes: bytesWished,
      isSynced: true,
    }).then(
      (ready) => {
        wanted.isPreparing = false;
        wanted.ready = ready;
        bytesWished = Math.min(2 * bytesWished, segmentBytes.most);
        begin();
      },
      (error: unknown) => {
        wanted.isPreparing = false;
        wanted.failedAtMs = performance.now();
        // A disk that is nearly full may have room for less.
        bytesWished = segmentBytes.least;
        stats.failures++;
        if (flights.length > 0 || gathering.used === 0 || gathering.salt !== wanted.salt) {
          onNotice("warn", { file: name, reason: messageOf(error) }, "the journal's next file can't be made");
        } else {
          refuse(takeCallbacks(gathering), error);
        }
        settle();
      },
    );
  }

  /** What gathers goes to the present file while that has room. */
  function stampOf(batch: Batch<Done>): Stamp {
    if (batch.used === 0) {
      const isFull = current === null || end + sparedBytes > current.bytes;
      batch.salt = isFull ? next.salt : current!.salt;
      batch.commit = ++commit;
      batch.underWay = flights.length;
    }
    return batch;
  }

  function schedule(): void {
    if (flights.length === flightsMax || isScheduled) return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      begin();
    });
  }

  function begin(mayBlock = true): void {
    if (gathering.used === 0 || flights.length === flightsMax || failure() !== null) {
      settle();
      return;
    }
    if (gathering.salt !== current?.salt) {
      // A file is whole before the next one begins.
      if (flights.length > 0) return;
      if (next.ready === null) {
        prepare();
        return;
      }
      current?.handle.close().catch(() => {});
      current = next.ready;
      position = recordsFrom;
      end = recordsFrom;
      next = nextAfter(next.number);
    }
    const flight: Flight = { batch: gathering, at: end, startedAtMs: performance.now(), end: "none" };
    end += gathering.used;
    flights.push(flight);
    gathering = spares.pop() ?? newBatch();
    prepareAhead();
    const isBlocking = mayBlock && flights.length === 1 && pace.mayBlock(flight.batch.callbacks.length);
    if (isBlocking) writeBlocking(current!, flight);
    else write(current!, flight, 0);
  }

  function prepareAhead(): void {
    if (!isClosing && performance.now() - next.failedAtMs > prepareAgainAfterMs) prepare();
  }

  function writeBlocking(segment: ReadySegment, flight: Flight): void {
    const { buffer, used } = flight.batch;
    try {
      for (let from = 0; from < used; ) {
        from += writeSync(segment.handle.fd, buffer, from, used - from, flight.at + from);
      }
      pace.noteBlocked(performance.now() - flight.startedAtMs);
      flight.end = "written";
    } catch (error) {
      flight.end = error as Error;
    }
    conclude(segment);
  }

  function write(segment: ReadySegment, flight: Flight, from: number): void {
    const { buffer, used } = flight.batch;
    writeFile(segment.handle.fd, buffer, from, used - from, flight.at + from, (error, written) => {
      if (error === null && from + written < used) {
        write(segment, flight, from + written);
        return;
      }
      flight.end = error ?? "written";
      conclude(segment);
    });
  }

  /** In their order: a batch is on disk for those who wait only when all before it are. */
  function conclude(segment: ReadySegment): void {
    while (flights[0]?.end === "written") committed(segment, flights.shift()!);
    const error = failure();
    if (error !== null && flights.every((flight) => flight.end !== "none")) failed(segment, error);
  }

  function committed(segment: ReadySegment, { batch, startedAtMs }: Flight): void {
    position += batch.used;
    stats.bytes += batch.used;
    const callbacks = takeCallbacks(batch);
    spares.push(batch);
    noteSync(stats.sync, performance.now() - startedAtMs);
    stats.commits++;
    stats.rows += callbacks.length;
    if (failingSinceMs !== null) {
      onNotice("info", { log: name }, "the journal takes webhooks again");
      failingSinceMs = null;
    }
    const upTo = position;
    // One that blocked would be on disk, and told of, before this one.
    begin(false);
    for (const done of callbacks) done(null);
    onSynced(segment.file, upTo);
  }

  /**
   * After a failed write nothing more is trusted to its file: what was synced before it stays, the rest is cut off,
   * also what was written behind it.
   */
  function failed(segment: ReadySegment, error: Error): void {
    stats.failures++;
    const upTo = position;
    current = null;
    cutting = cutting
      .then(() => segment.handle.close())
      .catch(() => {})
      .then(() => truncate(join(folder, segment.file), upTo))
      .catch(() => {});
    const refused = flights.flatMap(({ batch }) => {
      spares.push(batch);
      return takeCallbacks(batch);
    });
    flights.length = 0;
    if (gathering.used > 0 && gathering.salt === segment.salt) refused.push(...takeCallbacks(gathering));
    refuse(refused, error);
    begin();
  }

  function refuse(callbacks: Done[], error: unknown): void {
    attemptedAtMs = performance.now();
    if (failingSinceMs === null) {
      failingSinceMs = attemptedAtMs;
      onNotice(
        "error",
        { log: name, code: codeOf(error), reason: messageOf(error) },
        "the journal can't be written: webhooks are refused",
      );
    }
    const full = new JournalFullError(`The journal can't be written: ${messageOf(error)}`, { cause: error });
    for (const done of callbacks) done(full);
  }

  function append(bytesMax: number, done: Done, write: (batch: Batch<Done>) => number): void {
    const problem = isClosing ? "The journal is closed." : problemNow(bytesMax);
    if (problem !== null) {
      queueMicrotask(() => done(new JournalFullError(problem)));
      return;
    }
    gathering.used = write(gathering);
    gathering.callbacks.push(done);
    schedule();
  }

  /** Why a record is not taken, or null; makes room for it. */
  function problemNow(bytesMax: number): string | null {
    const isPausing = failingSinceMs !== null && performance.now() - attemptedAtMs < retryAfterMs;
    if (isPausing && gathering.used === 0) return "The journal can't be written.";
    if (!makeRoom(gathering, bytesMax, gatheredBytesMax))
      return "Too much waits to be written to the journal.";
    return null;
  }

  /** A large body is on disk before the record that names it is appended. */
  function storeFirst(
    id: string,
    body: Uint8Array,
    done: Done,
    append: (digest: string, done: Done) => void,
  ): void {
    storing++;
    const finish = (error: Error | null) => {
      storing--;
      done(error);
      settle();
    };
    storeBody(folder, id, body).then(
      (digest) =>
        append(digest, (error) => {
          if (error !== null) removeBody(folder, id, digest);
          finish(error);
        }),
      (error: unknown) => {
        stats.failures++;
        finish(new JournalFullError(`The journal can't be written: ${messageOf(error)}`, { cause: error }));
      },
    );
  }

  function settle(): void {
    if (isClosing && flights.length === 0 && gathering.used === 0 && storing === 0) whenIdle?.();
  }

  const appendEntry = (entry: NewEntry, digest: string | null, done: Done) => {
    const weight = weightOf(entry.metaJson.length, entry.body?.byteLength ?? 0);
    append(entryBytesMax(entry), done, (batch) =>
      writeEntry(batch.buffer, batch.used, stampOf(batch), entry, digest, weight),
    );
  };
  const appendRejection = (rejection: NewRejection, digest: string | null, done: Done) => {
    const weight = weightOf(rejection.json.length, rejection.body?.byteLength ?? 0);
    append(rejectionBytesMax(rejection), done, (batch) =>
      writeRejection(batch.buffer, batch.used, stampOf(batch), rejection, digest, weight),
    );
  };
  const isLarge = (body: Uint8Array | null): body is Uint8Array =>
    body !== null && body.byteLength > inlineBodyBytesMax;

  current = await readySegment({
    folder,
    name: { log: name, life, number: next.number },
    salt: next.salt,
    bytes: bytesWished,
    isSynced: true,
  });
  bytesWished *= 2;
  position = recordsFrom;
  end = recordsFrom;
  next = nextAfter(next.number);
  prepare();

  return {
    appendEntry(entry, done) {
      if (!isLarge(entry.body)) return appendEntry(entry, null, done);
      storeFirst(entry.id, entry.body, done, (digest, stored) => appendEntry(entry, digest, stored));
    },
    appendRejection(rejection, done) {
      if (!isLarge(rejection.body)) return appendRejection(rejection, null, done);
      storeFirst(rejection.id, rejection.body, done, (digest, stored) =>
        appendRejection(rejection, digest, stored),
      );
    },
    isWell: () => failingSinceMs === null,
    stats: () => ({ ...stats, sync: copyOf(stats.sync) }),
    async close() {
      if (isClosing) return;
      const idle = new Promise<void>((resolve) => {
        whenIdle = resolve;
      });
      isClosing = true;
      settle();
      await idle;
      await preparing;
      await cutting;
      await current?.handle.close();
      await next.ready?.handle.close();
    },
  };
}

const nextAfter = (number: number): NextSegment => ({
  salt: newSalt(),
  number: number + 1,
  ready: null,
  isPreparing: false,
  failedAtMs: -Infinity,
});
