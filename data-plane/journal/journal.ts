/**
 * The journal as the main thread sees it: which entries and events are in it and where, its own log of what
 * happened to them, and the reading of what the ingress threads' logs take in. See records.ts for the format.
 */
import type { Logger } from "pino";
import { messageOf } from "../../shared/errors.ts";
import { createFifo } from "../fifo.ts";
import { inlineBodyBytesMax, readBody, removeBody, storeBody } from "./bodies.ts";
import { type JournalBounds, weightOf } from "./bounds.ts";
import { type EntryMeta, fairKeyOf } from "./entry.ts";
import { JournalFullError } from "./errors.ts";
import { createFollower } from "./follower.ts";
import { addOther, HeldEntry, HeldReport, type PendingEntry, type StoredReport, segmentsOf } from "./held.ts";
import { createHousekeeping, type Housekeeping } from "./housekeeping.ts";
import { refuseOldJournal } from "./oldJournal.ts";
import { type OwnLog, openOwnLog } from "./ownLog.ts";
import {
  type ConfirmedItem,
  confirmedBytesMax,
  entryBytesMax,
  eventBytesMax,
  type Item,
  itemsBytesMax,
  type NewEntry,
  readEntryContent,
  readEventJson,
  readRejectionContent,
  recordType,
  writeConfirmed,
  writeEntry,
  writeEvent,
  writeItems,
} from "./records.ts";
import { recover } from "./recovery.ts";
import { addLive, closeSegment, dropLive, readRecord, type Segment } from "./segmentTable.ts";
import type { SyncTimes } from "./syncTimes.ts";
import { newUnfinished } from "./unfinished.ts";

export type { PendingEntry, StoredReport } from "./held.ts";

export interface Journal {
  /**
   * An ingress log is on disk up to here: reads what is new of it, calls `onEntry` for each entry and queues kept
   * refusals for the reporter. May be late, and skip ahead, also over whole files; much at once is read in steps.
   */
  follow(file: string, upTo: number): void;
  /**
   * Hands out through `onEntry` what earlier processes left unfinished (fewest crashes first, then by age), in
   * steps. To be called once, when everything that `onEntry` needs is there; it was counted and held since the start.
   * `onDone` is called after the last one.
   */
  resume(onDone?: () => void): void;
  /**
   * For commands: true when the entry is on disk (`onEntry` was called for it), false where one of that id is in
   * the journal already. Rejects with `JournalFullError`. The body must not change until then.
   */
  append(meta: EntryMeta, body: Uint8Array | null): Promise<boolean>;
  /** The entry of this id that has not ended; null where there is none. */
  find(id: string): PendingEntry | null;
  /**
   * Reads an entry: its meta as the JSON text that was appended, and its body. From memory where its bytes are
   * still held (until `start`), else from disk. Both may share memory with other entries: they must not be changed
   * or transferred. Throws `JournalDamageError` where it can't be read back whole.
   */
  load(pending: PendingEntry): { metaJson: Buffer; body: Buffer | null };
  /**
   * Notes that these are about to run, with their present `attempt`: written (not synced) when it returns, so that
   * a restart counts the attempt. One call for many is much cheaper than many calls. Throws `JournalFullError`.
   */
  start(pendings: readonly PendingEntry[]): void;
  /**
   * Resolves when it is ON DISK that the entry's code is running: it counts for CRASH_LIMIT if the process dies.
   * Rejects with `JournalFullError`.
   */
  markRunning(pending: PendingEntry): Promise<void>;
  /**
   * Keeps an event: `key` is its `reportKey`, `eventJson` the text of a `ReportEvent` whose request is in it.
   * Resolves when it is written (synced within 100 ms). With `isEnd` the entry will not run again, not even after
   * a restart. Rejects with `JournalFullError` while the disk does not take it (nothing has changed then: try
   * again), and for refusals (`pending` null) at the bound.
   */
  report(
    pending: PendingEntry | null,
    key: string,
    eventJson: string,
    isEnd: boolean,
    hasStates?: boolean,
  ): Promise<void>;
  /** Events with states that the control plane has not confirmed, oldest first. */
  unconfirmedStates(): Iterable<StoredReport>;
  /** What waits to be reported and was not handed out, oldest first; at least one where there is one. */
  reports(most: number, bytesMax: number): StoredReport[];
  /** Drops confirmed events (of those that `reports` handed out), and the entries that ended with them. */
  confirm(reports: readonly StoredReport[]): void;
  /** To be handed out again, before all others: the control plane did not take them. */
  putBack(reports: readonly StoredReport[]): void;
  /** When the oldest entry that has not ended was accepted, rounded down to a second; null where there is none. */
  oldestUnfinishedMs(): number | null;
  /** The `route.generation`s of entries that have not ended. */
  generationsInUse(): Set<number>;
  stats(): JournalStats;
  isClosed(): boolean;
  /** Writes and syncs what was given to it. Entries and events that are left are there at the next start. */
  close(): Promise<void>;
}

export interface JournalStats {
  /** Entries and kept refusals, and what they and all events count for, against the bounds. */
  entries: number;
  bytes: number;
  /** Of the files, without what lies in `bodies/`. */
  physicalBytes: number;
  /** Bytes of records that are still needed. */
  liveBytes: number;
  segments: number;
  /** Entries that have not ended. */
  unfinished: number;
  /** Events that wait, handed out or not. */
  waitingReports: number;
  /** Of the main thread's own log; each ingress log has its own. */
  commits: number;
  rows: number;
  writtenBytes: number;
  failures: number;
  sync: SyncTimes;
  /** Places that could not be read at the start. */
  damaged: number;
  /** Those where a last write did not finish. */
  unfinishedWrites: number;
  /** Entries that earlier processes left unfinished. */
  recovered: number;
  oldestUnfinishedMs: number | null;
  compactions: number;
}

export interface JournalOptions {
  folder: string;
  /** Counts what is found in the folder, too. */
  bounds: JournalBounds;
  onEntry(pending: PendingEntry): void;
  logger: Logger;
  /** Dead bytes in files that are not written to any more, above which live records are copied out of the emptiest. */
  deadBytesMax?: number;
  /** A file of the main thread's own log is followed by the next one when it is this long. */
  segmentBytes?: number;
}

const deadBytesMax = 64 * 1024 * 1024;
const segmentBytes = 32 * 1024 * 1024;
/** Of an entry that has ended. */
const endedWeight = weightOf(0, 0);
const heldJsonBytesMax = 64 * 1024 * 1024;
const resumedAtOnceMax = 1000;
const writeAgainAfterMs = 500;

/** Opens the journal in `folder` and reads what is in it. Rejects with `ConfigurationError` where it is an older release's. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { folder, bounds, onEntry, logger } = options;
  refuseOldJournal(folder);
  const recovered = await recover(folder, logger);
  const entries = new Map<string, HeldEntry>();
  const segments = new Set<Segment>(recovered.segments);
  const unfinished = newUnfinished();
  const appending = new Map<string, Promise<boolean>>();
  const waiting = createFifo<HeldReport>();
  /** Those whose records are needed: events by position, kept refusals by id. */
  const liveReports = new Map<number | string, HeldReport>();
  let handedOut = 0;
  let heldJsonBytes = 0;
  let nextPosition = recovered.nextPosition;
  let isClosed = false;
  let housekeeping: Housekeeping | null = null;

  const notice = (level: "info" | "warn" | "error", fields: Record<string, unknown>, message: string) =>
    logger[level](fields, message);
  const own: OwnLog = await openOwnLog({
    folder,
    segmentBytes: options.segmentBytes ?? segmentBytes,
    onSegment(segment) {
      segments.add(segment);
      housekeeping?.wake();
    },
    onDiskFull: () => housekeeping?.makeRoom() ?? false,
    isDiskTight: () => housekeeping?.isDiskTight() ?? false,
    onNotice: notice,
  });
  const takeIn = (entry: HeldEntry) => {
    entries.set(entry.id, entry);
    addLive(entry.segment, entry.length);
    unfinished.add(entry);
  };
  const follower = createFollower({
    folder,
    segments,
    notice,
    onEntry(entry) {
      takeIn(entry);
      onEntry(entry);
    },
    onRejection(report) {
      addLive(report.segment, report.length);
      liveReports.set(report.rejectionId!, report);
      waiting.push(report);
    },
    onSealed: () => housekeeping?.wake(),
  });

  const textOf = (report: HeldReport): string => {
    const record = readRecord(folder, report.segment, report.at, report.length);
    if (report.rejectionId === null) return readEventJson(record, 0);
    const { json, body, digest } = readRejectionContent(record, 0);
    const whole = digest === null ? body : readBody(folder, report.rejectionId, digest);
    const text = json.toString("utf8");
    if (whole === null) return text;
    const event = JSON.parse(text) as { request: { body: string | null } | null };
    if (event.request !== null) event.request.body = whole.toString("base64");
    return JSON.stringify(event);
  };

  /** Takes an entry out, all but its end: `writeDone` is to be called with it. */
  const release = (entry: HeldEntry) => {
    entries.delete(entry.id);
    dropLive(entry.segment, entry.length);
    bounds.release(1, entry.weight);
    if (entry.digest !== null) removeBody(folder, entry.id, entry.digest);
  };

  /** What is to be written again soon. */
  const postponed = new Set<() => void>();
  const later = (write: () => void) => {
    const again = () => {
      clearTimeout(timer);
      postponed.delete(again);
      write();
    };
    const timer = setTimeout(again, writeAgainAfterMs);
    timer.unref();
    postponed.add(again);
  };
  /**
   * Notes that these have left the journal, for each segment that holds a record of them. The end of an entry is
   * kept until that is written: one that comes back before has ended at least.
   */
  const writeDone = (gone: readonly (HeldEntry | HeldReport)[]) => {
    if (gone.length === 0) return;
    const items = gone.flatMap(doneItemsOf);
    own.append(
      itemsBytesMax(items),
      (buffer, at, stamp) => writeItems(buffer, at, stamp, recordType.done, items),
      (error) => {
        if (error === null) gone.forEach(dropEnd);
        // Where its records lie then is another matter.
        else if (!isClosed) later(() => writeDone(gone));
      },
    );
  };
  const doneItemsOf = (held: HeldEntry | HeldReport): Item[] => {
    const id = "events" in held ? held.id : held.rejectionId!;
    const target = own.target();
    const elsewhere = segmentsOf(held).filter((segment) => !segment.isGone && segment !== target);
    for (const segment of elsewhere) target.speaksOf.add(segment);
    // Where all its records are in this very segment, it is done as long as they are there.
    if (elsewhere.length === 0) return [{ id, number: target.salt }];
    return elsewhere.map(({ salt }) => ({ id, number: salt }));
  };
  const dropEnd = (held: HeldEntry | HeldReport) => {
    const end = "events" in held ? held.end : null;
    if (end === null) return;
    dropLive(end.segment, end.length);
    liveReports.delete(end.position);
  };
  /** Notes that these events need not be reported again. */
  const writeConfirms = (reports: readonly HeldReport[]) => {
    const items = reports.flatMap(confirmedItemsOf);
    if (items.length === 0) return;
    own.append(
      confirmedBytesMax(items),
      (buffer, at, stamp) => writeConfirmed(buffer, at, stamp, items),
      (error) => {
        if (error !== null && !isClosed) later(() => writeConfirms(reports));
      },
    );
  };
  const confirmedItemsOf = (report: HeldReport): ConfirmedItem[] => {
    const target = own.target();
    const about = segmentsOf(report).filter((segment) => !segment.isGone);
    for (const segment of about) if (segment !== target) target.speaksOf.add(segment);
    return about.map(({ salt }) => ({ salt, position: report.position }));
  };

  const appendNew = async (meta: EntryMeta, body: Uint8Array | null): Promise<boolean> => {
    const entry: NewEntry = {
      id: meta.id,
      fairKey: fairKeyOf(meta),
      generation: meta.route.generation,
      acceptedAtMs: meta.request.receivedAtMs,
      isWaiting: meta.isWaiting,
      metaJson: JSON.stringify(meta),
      body,
    };
    const weight = weightOf(entry.metaJson.length, body?.byteLength ?? 0);
    if (!bounds.tryReserve(weight)) throw new JournalFullError("The journal is at its bound.");
    let digest: string | null = null;
    try {
      if (body !== null && body.byteLength > inlineBodyBytesMax)
        digest = await storeBody(folder, meta.id, body);
      const held = await new Promise<HeldEntry>((resolve, reject) => {
        own.append(
          entryBytesMax(entry),
          (buffer, at, stamp) => writeEntry(buffer, at, stamp, entry, digest, weight),
          (error, place) => {
            if (place === null) return reject(error);
            const head = { ...entry, attempt: 1, crashes: 0, flags: 0, weight };
            const appended = new HeldEntry(head, null, place.segment, place.at, place.length);
            appended.digest = digest;
            // Counted from now on: its segment must stay.
            takeIn(appended);
            resolve(appended);
          },
        );
      });
      try {
        await own.sync();
      } catch (error) {
        // It may be on disk or not: as far as this process goes it is not there.
        unfinished.remove(held);
        entries.delete(held.id);
        dropLive(held.segment, held.length);
        writeDone([held]);
        throw error;
      }
      onEntry(held);
      return true;
    } catch (error) {
      bounds.release(1, weight);
      if (digest !== null) removeBody(folder, meta.id, digest);
      throw error instanceof JournalFullError
        ? error
        : new JournalFullError("The journal can't be written.", { cause: error });
    }
  };

  const load = (pending: PendingEntry): { metaJson: Buffer; body: Buffer | null } => {
    const entry = pending as HeldEntry;
    const { json, body, digest } =
      entry.chunk === null
        ? readEntryContent(readRecord(folder, entry.segment, entry.at, entry.length), 0)
        : readEntryContent(entry.chunk.buffer, entry.chunkAt);
    return { metaJson: json, body: digest === null ? body : readBody(folder, entry.id, digest) };
  };

  const confirm = (reports: readonly StoredReport[]) => {
    const gone: (HeldEntry | HeldReport)[] = [];
    const confirmed: HeldReport[] = [];
    for (const report of reports as readonly HeldReport[]) {
      if (report.isConfirmed) continue;
      report.isConfirmed = true;
      handedOut--;
      dropText(report);
      bounds.release(report.entries, report.weight);
      const { entry } = report;
      if (entry === null) {
        dropLive(report.segment, report.length);
        liveReports.delete(report.rejectionId ?? report.position);
        if (report.digest !== null) removeBody(folder, report.rejectionId!, report.digest);
        if (report.rejectionId !== null) gone.push(report);
        else confirmed.push(report);
        continue;
      }
      entry.events--;
      if (!report.isEnd) {
        dropLive(report.segment, report.length);
        liveReports.delete(report.position);
      }
      if (entry.isEnded && entry.events === 0) {
        release(entry);
        gone.push(entry);
      } else confirmed.push(report);
    }
    writeDone(gone);
    writeConfirms(confirmed);
    housekeeping?.wake();
  };
  const dropText = (report: HeldReport) => {
    if (report.json === null) return;
    heldJsonBytes -= report.json.length;
    report.json = null;
  };

  for (const entry of recovered.entries) {
    entries.set(entry.id, entry);
    if (!entry.isEnded) unfinished.add(entry);
    if (entry.isEnded) entry.weight = endedWeight;
    bounds.add(1, entry.weight);
  }
  for (const report of recovered.reports) {
    bounds.add(report.entries, report.weight);
    liveReports.set(report.rejectionId ?? report.position, report);
    waiting.push(report);
  }
  for (const { end } of recovered.entries) if (end !== null) liveReports.set(end.position, end);
  const unfinishedAtStart = recovered.entries.filter((entry) => !entry.isEnded);
  // Ended and all confirmed, only that it was DONE did not reach the disk.
  const done = recovered.entries.filter((entry) => entry.isEnded && entry.events === 0);
  done.forEach(release);
  writeDone(done);

  housekeeping = createHousekeeping({
    folder,
    own,
    segments,
    entries,
    reports: liveReports,
    deadBytesMax: options.deadBytesMax ?? deadBytesMax,
    logger,
  });
  housekeeping.wake();

  return {
    follow: follower.follow,
    resume(onDone) {
      let next = 0;
      const step = () => {
        if (isClosed) return;
        for (const end = Math.min(next + resumedAtOnceMax, unfinishedAtStart.length); next < end; next++) {
          onEntry(unfinishedAtStart[next]!);
        }
        if (next < unfinishedAtStart.length) setImmediate(step);
        else onDone?.();
      };
      step();
    },
    async append(meta, body) {
      if (isClosed) throw new JournalFullError("The journal is closed.");
      const known = appending.get(meta.id);
      if (known !== undefined) return known.then(() => false);
      if (entries.has(meta.id)) return false;
      const appended = appendNew(meta, body).finally(() => appending.delete(meta.id));
      appending.set(meta.id, appended);
      return appended;
    },
    find(id) {
      const entry = entries.get(id);
      return entry === undefined || entry.isEnded ? null : entry;
    },
    load,
    start(pendings) {
      if (pendings.length === 0) return;
      const items = pendings.map(({ id, attempt }) => ({ id, number: attempt }));
      const target = own.target();
      let failure: Error | null = null;
      own.append(
        itemsBytesMax(items),
        (buffer, at, stamp) => writeItems(buffer, at, stamp, recordType.started, items),
        (error) => {
          failure = error;
        },
      );
      own.flush();
      if (failure !== null) throw failure;
      for (const pending of pendings as readonly HeldEntry[]) {
        pending.isStarted = true;
        follower.letGo(pending);
        if (pending.segment !== target) target.speaksOf.add(pending.segment);
      }
    },
    async markRunning(pending) {
      const entry = pending as HeldEntry;
      const items = [{ id: entry.id, number: entry.crashes }];
      const target = own.target();
      let failure: Error | null = null;
      own.append(
        itemsBytesMax(items),
        (buffer, at, stamp) => writeItems(buffer, at, stamp, recordType.running, items),
        (error) => {
          failure = error;
        },
      );
      await own.sync();
      if (failure !== null) throw failure;
      entry.isRunning = true;
      if (entry.segment !== target) target.speaksOf.add(entry.segment);
    },
    report(pending, key, eventJson, isEnd, hasStates = false) {
      if (isClosed) return Promise.reject(new JournalFullError("The journal is closed."));
      const entry = pending as HeldEntry | null;
      const weight = weightOf(eventJson.length, 0);
      if (entry === null) {
        if (!bounds.tryReserve(weight, 0)) {
          return Promise.reject(new JournalFullError("The journal is at its bound."));
        }
      } else bounds.add(0, weight);
      const position = nextPosition++;
      const event = { position, id: entry?.id ?? "", key, json: eventJson, isEnd, hasStates, weight };
      return new Promise<void>((resolve, reject) => {
        own.append(
          eventBytesMax(event),
          (buffer, at, stamp) => writeEvent(buffer, at, stamp, event),
          (error, place) => {
            if (place === null) {
              bounds.release(0, weight);
              return reject(error);
            }
            const facts = { key, position, rejectionId: null, weight, entries: 0 };
            const report = new HeldReport(facts, entry, place.segment, place.at, place.length);
            report.hasStates = hasStates;
            addLive(place.segment, place.length);
            liveReports.set(position, report);
            if (heldJsonBytes < heldJsonBytesMax) {
              report.json = eventJson;
              heldJsonBytes += eventJson.length;
            }
            if (entry !== null) {
              entry.events++;
              addOther(entry, place.segment);
              if (isEnd) {
                report.isEnd = true;
                entry.isEnded = true;
                entry.end = report;
                // Its request counts once: from now on as the event's.
                bounds.release(0, entry.weight - endedWeight);
                entry.weight = endedWeight;
                follower.letGo(entry);
                unfinished.remove(entry);
              }
            }
            waiting.push(report);
            resolve();
          },
        );
      });
    },
    *unconfirmedStates() {
      const held = [...liveReports.values()].filter((report) => report.hasStates && !report.isConfirmed);
      for (const report of held.sort((a, b) => a.position - b.position)) {
        try {
          yield { key: report.key, json: textOf(report) };
        } catch (error) {
          logger.error(
            { key: report.key, reason: messageOf(error) },
            "an event of the journal can't be read, so the states in it are not known here",
          );
        }
      }
    },
    reports(most, bytesMax) {
      const found: StoredReport[] = [];
      let bytes = 0;
      while (found.length < most) {
        const report = waiting.peek();
        if (report === undefined) break;
        if (found.length > 0 && bytes + report.length > bytesMax) break;
        waiting.shift();
        handedOut++;
        if (report.json === null) {
          try {
            report.json = textOf(report);
            heldJsonBytes += report.json.length;
          } catch (error) {
            // It stays on disk, to be looked at, and is tried again at the next start.
            logger.error(
              { key: report.key, reason: messageOf(error) },
              "an event of the journal can't be read",
            );
            continue;
          }
        }
        bytes += report.json.length;
        found.push(report as unknown as StoredReport);
      }
      return found;
    },
    confirm,
    putBack(reports) {
      for (const report of [...(reports as readonly unknown[] as HeldReport[])].reverse()) {
        if (report.isConfirmed) continue;
        handedOut--;
        waiting.unshift(report);
      }
    },
    oldestUnfinishedMs: unfinished.oldestMs,
    generationsInUse: unfinished.generations,
    stats() {
      const { entries: heldEntries, bytes } = bounds.read();
      const { commits, rows, bytes: writtenBytes, failures, sync } = own.stats();
      return {
        entries: heldEntries,
        bytes,
        ...housekeeping!.stats(),
        unfinished: unfinished.size(),
        waitingReports: waiting.size() + handedOut,
        commits,
        rows,
        writtenBytes,
        failures,
        sync,
        damaged: recovered.damaged,
        unfinishedWrites: recovered.unfinishedWrites,
        recovered: unfinishedAtStart.length,
        oldestUnfinishedMs: unfinished.oldestMs(),
      };
    },
    isClosed: () => isClosed,
    async close() {
      if (isClosed) return;
      // There may be room by now; else what is done is done again at the next start.
      for (const write of [...postponed]) write();
      isClosed = true;
      follower.stop();
      await housekeeping!.stop();
      await own.close();
      for (const segment of segments) closeSegment(segment);
    },
  };
}
