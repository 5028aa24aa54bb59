/** Reads what the ingress threads' logs have taken in, as they tell how far they are on disk. */
import { readSync } from "node:fs";
import { messageOf } from "../../shared/errors.ts";
import { codeOf } from "./errors.ts";
import { type Chunk, HeldEntry, HeldReport } from "./held.ts";
import {
  besideFlag,
  checkedLengthAt,
  lengthAt,
  padded,
  readEntryContent,
  readEntryHead,
  readRejectionContent,
  readRejectionHead,
  recordType,
  typeAt,
} from "./records.ts";
import { fileOf, parseFile, readHeader, recordsFrom, type SegmentName } from "./segments.ts";
import { closeSegment, descriptorOf, newSegment, type Segment } from "./segmentTable.ts";

export interface Follower {
  follow(file: string, upTo: number): void;
  /** The entry's bytes are not needed in memory any more. */
  letGo(entry: HeldEntry): void;
  stop(): void;
}

export interface FollowerOptions {
  folder: string;
  segments: Set<Segment>;
  onEntry(entry: HeldEntry): void;
  onRejection(report: HeldReport): void;
  /** A log has gone on to its next file. */
  onSealed(): void;
  notice(level: "warn" | "error", fields: Record<string, unknown>, message: string): void;
}

/** Bytes that are kept in memory until their entries are loaded; beyond, they are read again from disk. */
const keptBytesMax = 64 * 1024 * 1024;
const readBytesMax = 1024 * 1024;
/** Read in one turn of the loop. */
const turnBytesMax = 4 * 1024 * 1024;

interface Followed {
  name: SegmentName;
  segment: Segment | null;
  /** Number of the file that `upTo` is of. */
  target: number;
  upTo: number;
  isScheduled: boolean;
}

export function createFollower(options: FollowerOptions): Follower {
  const { folder, segments, onEntry, onRejection, onSealed, notice } = options;
  const logs = new Map<string, Followed>();
  let keptBytes = 0;
  let scratch = Buffer.alloc(0);
  let isStopped = false;

  const follow = (file: string, upTo: number) => {
    const name = parseFile(file);
    if (name === null || isStopped) return;
    const key = `${name.log}.${name.life}`;
    let log = logs.get(key);
    if (log === undefined) {
      log = { name: { ...name, number: 1 }, segment: null, target: 1, upTo: 0, isScheduled: false };
      logs.set(key, log);
    }
    if (name.number > log.target) {
      log.target = name.number;
      log.upTo = upTo;
    } else if (name.number === log.target) log.upTo = Math.max(log.upTo, upTo);
    if (!log.isScheduled) advance(log);
  };

  /** Reads on, for a turn. */
  function advance(log: Followed): void {
    let left = turnBytesMax;
    while (left > 0) {
      const isLast = log.name.number === log.target;
      log.segment ??= openSegment(log.name);
      const read = log.segment === null ? 0 : readOn(log, log.segment, isLast ? log.upTo : null);
      left -= read;
      if (read > 0) continue;
      if (isLast) return;
      if (log.segment !== null) log.segment.isSealed = true;
      onSealed();
      log.name = { ...log.name, number: log.name.number + 1 };
      log.segment = null;
    }
    log.isScheduled = true;
    setImmediate(() => {
      log.isScheduled = false;
      if (!isStopped) advance(log);
    });
  }

  function openSegment(name: SegmentName): Segment | null {
    const file = fileOf(name);
    const segment = newSegment(file, 0, false, recordsFrom);
    try {
      const bytes = Buffer.alloc(recordsFrom);
      readSync(descriptorOf(folder, segment), bytes, 0, recordsFrom, 0);
      const header = readHeader(bytes);
      if ("problem" in header) throw new Error("its header is not whole");
      const opened = { ...segment, salt: header.salt };
      segments.add(opened);
      return opened;
    } catch (error) {
      closeSegment(segment);
      // A number is left out where the file could not be made.
      if (codeOf(error) !== "ENOENT") {
        notice("error", { file, reason: messageOf(error) }, "a file of the journal can't be followed");
      }
      return null;
    }
  }

  /** Reads a piece up to `upTo`, or (null) up to the last whole record: what it says it read, 0 where nothing is left. */
  function readOn(log: Followed, segment: Segment, upTo: number | null): number {
    for (let size = readBytesMax; ; size *= 2) {
      const wanted = upTo === null ? size : Math.min(size, upTo - segment.end);
      if (wanted <= 0) return 0;
      const isKept = keptBytes + wanted <= keptBytesMax;
      const buffer = isKept && upTo !== null ? Buffer.allocUnsafeSlow(wanted) : scratchOf(wanted);
      let bytes: number;
      try {
        bytes = readSync(descriptorOf(folder, segment), buffer, 0, wanted, segment.end);
      } catch (error) {
        notice(
          "error",
          { file: segment.file, reason: messageOf(error) },
          "a file of the journal can't be followed",
        );
        return 0;
      }
      // Held by this function, too, until it has read it through.
      const chunk = buffer === scratch ? null : { buffer, live: 1 };
      keptBytes += chunk === null ? 0 : buffer.length;
      const taken = takeRecords(log, segment, buffer, bytes, upTo === null, chunk);
      if (chunk !== null) letGoOf(chunk);
      if (taken > 0) {
        segment.end += taken;
        return taken;
      }
      if (bytes < wanted || wanted < size) {
        if (upTo === null) return 0;
        notice(
          "error",
          { file: segment.file, from: segment.end, to: upTo },
          "the journal's file does not hold what was written to it",
        );
        segment.end = upTo;
        return 0;
      }
      if (upTo === null && lengthAt(buffer, 0, Infinity, segment.salt) === 0) return 0;
    }
  }

  function takeRecords(
    log: Followed,
    segment: Segment,
    buffer: Buffer,
    bytes: number,
    isChecked: boolean,
    chunk: Chunk | null,
  ): number {
    let at = 0;
    for (;;) {
      // What the writer has told is on disk needs no check; where it stopped telling only a checksum can say.
      const length = isChecked
        ? checkedLengthAt(buffer, at, bytes, segment.salt)
        : lengthAt(buffer, at, bytes, segment.salt);
      if (length === 0) return Math.min(at, bytes);
      const place = segment.end + at;
      if (typeAt(buffer, at) === recordType.entry) {
        const head = readEntryHead(buffer, at);
        const entry = new HeldEntry(head, log.name.log, segment, place, length);
        if ((head.flags & besideFlag) !== 0) entry.digest = readEntryContent(buffer, at).digest;
        if (chunk !== null) {
          entry.chunk = chunk;
          entry.chunkAt = at;
          chunk.live++;
        }
        onEntry(entry);
      } else if (typeAt(buffer, at) === recordType.rejection) {
        const { id, weight } = readRejectionHead(buffer, at);
        const facts = { key: id, position: 0, rejectionId: id, weight, entries: 1 };
        const report = new HeldReport(facts, null, segment, place, length);
        report.digest = readRejectionContent(buffer, at).digest;
        onRejection(report);
      }
      at += padded(length);
    }
  }

  function letGoOf(chunk: Chunk): void {
    if (--chunk.live === 0) keptBytes -= chunk.buffer.length;
  }

  function scratchOf(bytes: number): Buffer {
    if (scratch.length < bytes) scratch = Buffer.allocUnsafeSlow(bytes);
    return scratch;
  }

  return {
    follow,
    letGo(entry) {
      const { chunk } = entry;
      if (chunk === null) return;
      entry.chunk = null;
      letGoOf(chunk);
    },
    stop() {
      isStopped = true;
    },
  };
}
