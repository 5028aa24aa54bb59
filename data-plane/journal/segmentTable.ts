/** What the main thread knows of each file of the journal. */
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { JournalDamageError } from "./errors.ts";
import { checkedLengthAt } from "./records.ts";

export interface Segment {
  readonly file: string;
  readonly salt: number;
  /** Of the main thread's own log: its records speak of records in other segments. */
  readonly isOwn: boolean;
  /** End of what is known to be in it. */
  end: number;
  /** Records that are still needed, and their bytes. */
  live: number;
  liveBytes: number;
  /** What was copied into it about records of other segments: needed as long as those are there. */
  carriedBytes: number;
  /** Nothing is written to it any more. */
  isSealed: boolean;
  /** Its file is removed, or about to be. */
  isGone: boolean;
  /** Segments that hold records which this one's speak of: it must outlive them. */
  readonly speaksOf: Set<Segment>;
  /** For reading; opened when needed. */
  descriptor: number | null;
}

export const newSegment = (file: string, salt: number, isOwn: boolean, end: number): Segment => ({
  file,
  salt,
  isOwn,
  end,
  live: 0,
  liveBytes: 0,
  carriedBytes: 0,
  isSealed: false,
  isGone: false,
  speaksOf: new Set(),
  descriptor: null,
});

export function addLive(segment: Segment, bytes: number): void {
  segment.live++;
  segment.liveBytes += bytes;
}

export function dropLive(segment: Segment, bytes: number): void {
  segment.live--;
  segment.liveBytes -= bytes;
}

export function descriptorOf(folder: string, segment: Segment): number {
  segment.descriptor ??= openSync(join(folder, segment.file), "r");
  return segment.descriptor;
}

export function closeSegment(segment: Segment): void {
  if (segment.descriptor !== null) closeSync(segment.descriptor);
  segment.descriptor = null;
}

/** Reads one record from disk and checks it. Throws `JournalDamageError`. */
export function readRecord(folder: string, segment: Segment, at: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(length);
  let read = 0;
  try {
    read = readSync(descriptorOf(folder, segment), buffer, 0, length, at);
  } catch (error) {
    throw new JournalDamageError(`${segment.file} can't be read at ${at}.`, { cause: error });
  }
  if (read !== length || checkedLengthAt(buffer, 0, length, segment.salt) === 0) {
    throw new JournalDamageError(`The record at ${at} of ${segment.file} was changed on disk.`);
  }
  return buffer;
}
