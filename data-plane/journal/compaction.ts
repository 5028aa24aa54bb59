/**
 * Copies what is still needed of a segment into the main thread's own log, so that its file can go. The process
 * may die at any point: the file goes only when the copies are on disk, and a record that is there twice counts once.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { HeldEntry, HeldReport } from "./held.ts";
import { addOther } from "./held.ts";
import type { OwnLog, Place } from "./ownLog.ts";
import {
  type ConfirmedItem,
  checkedLengthAt,
  confirmedBytesMax,
  copyEntry,
  copyRecord,
  type Item,
  itemsBytesMax,
  padded,
  readConfirmed,
  readEntryHead,
  readEventHead,
  readItems,
  readRejectionHead,
  recordType,
  typeAt,
  writeConfirmed,
  writeItems,
} from "./records.ts";
import { recordsFrom } from "./segments.ts";
import { addLive, dropLive, type Segment } from "./segmentTable.ts";

export interface CompactionOptions {
  folder: string;
  own: OwnLog;
  segments: Set<Segment>;
  entries: ReadonlyMap<string, HeldEntry>;
  /** Those whose records are needed: events by position, kept refusals by id. */
  reports: ReadonlyMap<number | string, HeldReport>;
}

/** Looked at in one turn of the loop. */
const turnBytes = 1024 * 1024;

/** Resolves with true when nothing in the segment is needed any more: its file may go. */
export async function compactSegment(segment: Segment, options: CompactionOptions): Promise<boolean> {
  const { folder, own, entries, reports } = options;
  const bytes = await readFile(join(folder, segment.file));
  const bySalt = new Map([...options.segments].map((one) => [one.salt, one]));
  const carried = new Set<string>();
  let failure: Error | null = null;

  /** Copies a record; where it lies is then there. */
  const copy = (
    held: HeldEntry | HeldReport,
    length: number,
    write: Parameters<OwnLog["append"]>[1],
    isNeeded: () => boolean,
  ) =>
    own.append(length, write, (error, place) => {
      if (place === null) {
        failure = error;
        return;
      }
      const owner = "events" in held ? held : held.entry;
      // Also where it left the journal meanwhile: the copy must be known to be done.
      addOther(held, place.segment);
      if (owner !== null) addOther(owner, place.segment);
      if (isNeeded()) move(held, segment, place);
    });

  const carry = (type: number, items: readonly Item[], spokenOf: Iterable<Segment>) => {
    if (items.length === 0) return;
    const target = own.target();
    for (const one of spokenOf) if (one !== target) target.speaksOf.add(one);
    own.append(
      itemsBytesMax(items),
      (buffer, at, stamp) => writeItems(buffer, at, stamp, type, items),
      (error, place) => {
        if (place === null) failure = error;
        else place.segment.carriedBytes += place.length;
      },
    );
  };
  const carryConfirmed = (items: readonly ConfirmedItem[], spokenOf: Iterable<Segment>) => {
    if (items.length === 0) return;
    const target = own.target();
    for (const one of spokenOf) if (one !== target) target.speaksOf.add(one);
    own.append(
      confirmedBytesMax(items),
      (buffer, at, stamp) => writeConfirmed(buffer, at, stamp, items),
      (error, place) => {
        if (place === null) failure = error;
        else place.segment.carriedBytes += place.length;
      },
    );
  };
  /** The segment of this salt, where it is there still and not the one that is about to go. */
  const spokenOf = (salt: number): Segment | null => {
    const found = bySalt.get(salt);
    return found === undefined || found.isGone || found === segment ? null : found;
  };

  const take = (at: number, length: number) => {
    switch (typeAt(bytes, at)) {
      case recordType.entry: {
        const entry = entries.get(readEntryHead(bytes, at).id);
        if (entry === undefined || entry.segment !== segment || entry.at !== at) return;
        if (entry.isEnded) {
          // It never runs again, and its events speak for themselves.
          dropLive(segment, entry.length);
          entry.length = 0;
          return;
        }
        copy(
          entry,
          length,
          (buffer, to, stamp) => copyEntry(buffer, to, stamp, bytes, at, entry),
          () => entries.get(entry.id) === entry,
        );
        return;
      }
      case recordType.rejection:
      case recordType.event: {
        const isEvent = typeAt(bytes, at) === recordType.event;
        const key = isEvent ? readEventHead(bytes, at).position : readRejectionHead(bytes, at).id;
        const report = reports.get(key);
        if (report === undefined || report.segment !== segment || report.at !== at) return;
        copy(
          report,
          length,
          (buffer, to, stamp) => copyRecord(buffer, to, stamp, bytes, at),
          () => reports.get(key) === report,
        );
        if (report.isConfirmed) {
          carryConfirmed([{ salt: own.target().salt, position: report.position }], []);
        }
        return;
      }
      case recordType.started:
      case recordType.running:
        for (const { id } of readItems(bytes, at)) {
          const entry = entries.get(id);
          if (entry === undefined || entry.isEnded || carried.has(id)) continue;
          carried.add(id);
          const about = [entry.segment, ...(entry.others ?? [])].filter(
            (one) => !one.isGone && one !== segment,
          );
          const attempt = entry.isStarted ? entry.attempt : entry.attempt - 1;
          const crashes = entry.isRunning ? entry.crashes : entry.crashes - 1;
          if (attempt > 0) carry(recordType.started, [{ id, number: attempt }], about);
          if (crashes >= 0) carry(recordType.running, [{ id, number: crashes }], about);
        }
        return;
      case recordType.done: {
        const items = readItems(bytes, at).filter(({ number }) => spokenOf(number) !== null);
        carry(recordType.done, items, new Set(items.map(({ number }) => spokenOf(number)!)));
        return;
      }
      case recordType.confirmed: {
        const items = readConfirmed(bytes, at).filter(({ salt }) => spokenOf(salt) !== null);
        carryConfirmed(items, new Set(items.map(({ salt }) => spokenOf(salt)!)));
        return;
      }
    }
  };

  let turnEnd = recordsFrom + turnBytes;
  for (let at = recordsFrom; at < segment.end; ) {
    const length = checkedLengthAt(bytes, at, bytes.length, segment.salt);
    if (length > 0) take(at, length);
    // Damage is stepped over: where something needed lies in it, the file stays.
    at += length > 0 ? padded(length) : 8;
    if (at >= turnEnd) {
      turnEnd = at + turnBytes;
      await new Promise(setImmediate);
    }
  }
  await own.sync();
  if (failure !== null) throw failure;
  return segment.live === 0;
}

function move(held: HeldEntry | HeldReport, from: Segment, place: Place): void {
  dropLive(from, held.length);
  addLive(place.segment, place.length);
  held.segment = place.segment;
  held.at = place.at;
  held.length = place.length;
  held.others = (held.others ?? []).filter((one) => one !== place.segment);
  addOther(held, from);
}
