/**
 * The journal's format on disk. All numbers are little-endian.
 *
 * A segment file starts with its header, 128 bytes, twice (a damaged first copy loses nothing):
 *
 *   0 magic "SWYDJRNL"   8 u32 format version   12 u32 salt   16 f64 first use, ms since the epoch   24 u32 flags
 *   28 u16 length of the log's name   30 the name   124 u32 CRC-32 of bytes 0 to 123
 *
 * The salt is random and new each time that a file is taken into use, so what an earlier life of the file left
 * behind the last record is never taken for a record. Then come the records, each at a multiple of 8:
 *
 *   0 u32 mark (the salt)   4 u32 CRC-32 of everything that follows, seeded with the salt   8 u32 length in bytes,
 *   without padding   12 u32 number of the write (commit) it was part of   16 u8 type   17 u8 flags   18 u16 how many
 *   writes before that one were still under way when it began to gather
 *
 *   ENTRY      20 f64 acceptedAtMs   28 u32 generation   32 u32 weight in KB   36 u32 attempt   40 u32 crashes
 *              44 u32 bytes of the meta   48 u32 bytes of the body   52 u16 of the id   54 u16 of the fair key
 *              56 id, fair key, digest (64 hex, with a body beside the journal), meta (JSON), body (unless beside)
 *              flags: 1 has a body, 2 the body lies in a file of its own, 4 was started, 8 its code runs, 16 its sender waits
 *   REJECTION  20 u32 weight in KB   24 u32 bytes of the event   28 u32 of the body   32 u16 of the id
 *              34 id, digest, event (JSON, its request's body null), body; flags 1 and 2 as above
 *   EVENT      20 f64 position   28 u32 bytes of the event   32 u32 weight in KB   36 u16 bytes of the entry's id
 *              38 u16 of the key   40 id, key, event (JSON); flags: 1 the entry ended with it
 *   STARTED    20 u32 count, then each: u32 attempt, u16 bytes of the id, id
 *   RUNNING    the same with the crashes so far in place of the attempt
 *   DONE       the same with the salt of a segment that holds a record of this id
 *   CONFIRMED  20 u32 count, then each: u32 salt of the segment that holds the event, f64 its position
 *
 * What the records of all segments say together does not depend on their order: an id that is DONE anywhere is
 * done; attempt and crashes are the greatest that any record speaks of; two records of one entry or event (an
 * interrupted compaction leaves such) are one. So segments are removed, and records moved, in any order,
 * as long as a DONE or CONFIRMED outlives the segments that it speaks of, which its salts tell.
 */
import { randomInt } from "node:crypto";
import { crc32 } from "node:zlib";

export const recordType = {
  entry: 1,
  rejection: 2,
  event: 3,
  started: 4,
  running: 5,
  done: 6,
  confirmed: 7,
} as const;

export const hasBodyFlag = 1;
export const besideFlag = 2;
export const startedFlag = 4;
export const runningFlag = 8;
export const isWaitingFlag = 16;
export const isEndFlag = 1;
export const hasStatesFlag = 2;

export const headerBytes = 20;
const entryHeadBytes = 56;
const rejectionHeadBytes = 34;
const eventHeadBytes = 40;
const itemsHeadBytes = 24;
const digestBytes = 64;
const textBytesMax = 65_535;

export const padded = (length: number): number => (length + 7) & ~7;

export const newSalt = (): number => randomInt(1, 2 ** 32 - 1);

/** What a record is written with. */
export interface Stamp {
  salt: number;
  commit: number;
  /** Commits before this one that were not known to be on disk when it got its first record. */
  underWay: number;
}

/** An entry as it is appended. */
export interface NewEntry {
  /** As in the meta. */
  id: string;
  fairKey: string;
  /** `route.generation` of the meta. */
  generation: number;
  acceptedAtMs: number;
  isWaiting: boolean;
  /** JSON of `EntryMeta`. */
  metaJson: string;
  body: Uint8Array | null;
}

/** A refusal that is kept with its request. */
export interface NewRejection {
  id: string;
  /** JSON of `RejectionEvent`, with `request.body` null: the body is beside it. */
  json: string;
  body: Uint8Array | null;
}

/** A long text is measured: three times its length would be much memory. */
const jsonBytesMax = (json: string): number =>
  json.length < 16 * 1024 ? 3 * json.length : Buffer.byteLength(json);

export const entryBytesMax = (entry: NewEntry): number =>
  entryHeadBytes +
  digestBytes +
  8 +
  3 * (entry.id.length + entry.fairKey.length) +
  jsonBytesMax(entry.metaJson) +
  (entry.body?.byteLength ?? 0);

export const rejectionBytesMax = (rejection: NewRejection): number =>
  rejectionHeadBytes +
  digestBytes +
  8 +
  3 * rejection.id.length +
  jsonBytesMax(rejection.json) +
  (rejection.body?.byteLength ?? 0);

/** Writes the record at `at` and returns where the next one starts. */
export function writeEntry(
  buffer: Buffer,
  at: number,
  stamp: Stamp,
  entry: NewEntry,
  digest: string | null,
  weight: number,
): number {
  const idBytes = writeText(buffer, at + entryHeadBytes, entry.id);
  let end = at + entryHeadBytes + idBytes;
  const fairKeyBytes = writeText(buffer, end, entry.fairKey);
  end += fairKeyBytes;
  if (digest !== null) end += buffer.write(digest, end, digestBytes, "latin1");
  const metaBytes = buffer.write(entry.metaJson, end, "utf8");
  end += metaBytes;
  const body = entry.body;
  if (body !== null && digest === null) {
    buffer.set(body, end);
    end += body.byteLength;
  }
  buffer.writeDoubleLE(entry.acceptedAtMs, at + 20);
  buffer.writeUInt32LE(entry.generation, at + 28);
  buffer.writeUInt32LE(weight >>> 10, at + 32);
  buffer.writeUInt32LE(1, at + 36);
  buffer.writeUInt32LE(0, at + 40);
  buffer.writeUInt32LE(metaBytes, at + 44);
  buffer.writeUInt32LE(body === null ? 0 : body.byteLength, at + 48);
  buffer.writeUInt16LE(idBytes, at + 52);
  buffer.writeUInt16LE(fairKeyBytes, at + 54);
  const flags = bodyFlags(body, digest) | (entry.isWaiting ? isWaitingFlag : 0);
  return seal(buffer, at, end, stamp, recordType.entry, flags);
}

export function writeRejection(
  buffer: Buffer,
  at: number,
  stamp: Stamp,
  rejection: NewRejection,
  digest: string | null,
  weight: number,
): number {
  const idBytes = writeText(buffer, at + rejectionHeadBytes, rejection.id);
  let end = at + rejectionHeadBytes + idBytes;
  if (digest !== null) end += buffer.write(digest, end, digestBytes, "latin1");
  const jsonBytes = buffer.write(rejection.json, end, "utf8");
  end += jsonBytes;
  const body = rejection.body;
  if (body !== null && digest === null) {
    buffer.set(body, end);
    end += body.byteLength;
  }
  buffer.writeUInt32LE(weight >>> 10, at + 20);
  buffer.writeUInt32LE(jsonBytes, at + 24);
  buffer.writeUInt32LE(body === null ? 0 : body.byteLength, at + 28);
  buffer.writeUInt16LE(idBytes, at + 32);
  return seal(buffer, at, end, stamp, recordType.rejection, bodyFlags(body, digest));
}

export interface NewEvent {
  position: number;
  /** Of its entry, or "". */
  id: string;
  key: string;
  json: string;
  isEnd: boolean;
  /** Its finish carries states. */
  hasStates?: boolean;
  weight: number;
}

export const eventBytesMax = (event: NewEvent): number =>
  eventHeadBytes + 8 + 3 * (event.id.length + event.key.length) + jsonBytesMax(event.json);

export function writeEvent(buffer: Buffer, at: number, stamp: Stamp, event: NewEvent): number {
  const idBytes = writeText(buffer, at + eventHeadBytes, event.id);
  let end = at + eventHeadBytes + idBytes;
  const keyBytes = writeText(buffer, end, event.key);
  end += keyBytes;
  const jsonBytes = buffer.write(event.json, end, "utf8");
  end += jsonBytes;
  buffer.writeDoubleLE(event.position, at + 20);
  buffer.writeUInt32LE(jsonBytes, at + 28);
  buffer.writeUInt32LE(event.weight >>> 10, at + 32);
  buffer.writeUInt16LE(idBytes, at + 36);
  buffer.writeUInt16LE(keyBytes, at + 38);
  const flags = (event.isEnd ? isEndFlag : 0) | (event.hasStates ? hasStatesFlag : 0);
  return seal(buffer, at, end, stamp, recordType.event, flags);
}

/** One of STARTED, RUNNING, DONE. */
export interface Item {
  number: number;
  id: string;
}

export const itemsBytesMax = (items: readonly Item[]): number =>
  items.reduce((sum, { id }) => sum + 6 + 3 * id.length, itemsHeadBytes + 8);

export function writeItems(
  buffer: Buffer,
  at: number,
  stamp: Stamp,
  type: number,
  items: readonly Item[],
): number {
  let end = at + itemsHeadBytes;
  for (const { number, id } of items) {
    buffer.writeUInt32LE(number, end);
    const idBytes = writeText(buffer, end + 6, id);
    buffer.writeUInt16LE(idBytes, end + 4);
    end += 6 + idBytes;
  }
  buffer.writeUInt32LE(items.length, at + 20);
  return seal(buffer, at, end, stamp, type, 0);
}

export interface ConfirmedItem {
  salt: number;
  position: number;
}

export const confirmedBytesMax = (items: readonly ConfirmedItem[]): number =>
  itemsHeadBytes + 8 + 12 * items.length;

export function writeConfirmed(
  buffer: Buffer,
  at: number,
  stamp: Stamp,
  items: readonly ConfirmedItem[],
): number {
  let end = at + itemsHeadBytes;
  for (const { salt, position } of items) {
    buffer.writeUInt32LE(salt, end);
    buffer.writeDoubleLE(position, end + 4);
    end += 12;
  }
  buffer.writeUInt32LE(items.length, at + 20);
  return seal(buffer, at, end, stamp, recordType.confirmed, 0);
}

/** A record of another segment, as it is. */
export function copyRecord(buffer: Buffer, at: number, stamp: Stamp, source: Buffer, from: number): number {
  const length = source.readUInt32LE(from + 8);
  source.copy(buffer, at, from, from + length);
  return seal(buffer, at, at + length, stamp, typeAt(source, from), flagsAt(source, from));
}

/** An entry's record of another segment, with where the entry stands now. */
export function copyEntry(
  buffer: Buffer,
  at: number,
  stamp: Stamp,
  source: Buffer,
  from: number,
  state: { attempt: number; crashes: number; isStarted: boolean; isRunning: boolean },
): number {
  const length = source.readUInt32LE(from + 8);
  source.copy(buffer, at, from, from + length);
  buffer.writeUInt32LE(state.attempt, at + 36);
  buffer.writeUInt32LE(state.crashes, at + 40);
  const flags =
    (flagsAt(source, from) & ~(startedFlag | runningFlag)) |
    (state.isStarted ? startedFlag : 0) |
    (state.isRunning ? runningFlag : 0);
  return seal(buffer, at, at + length, stamp, recordType.entry, flags);
}

const bodyFlags = (body: Uint8Array | null, digest: string | null): number =>
  (body === null ? 0 : hasBodyFlag) | (digest === null ? 0 : besideFlag);

function writeText(buffer: Buffer, at: number, text: string): number {
  const bytes = buffer.write(text, at, "utf8");
  if (bytes > textBytesMax) throw new RangeError("An id or key is too long for the journal.");
  return bytes;
}

function seal(buffer: Buffer, at: number, end: number, stamp: Stamp, type: number, flags: number): number {
  buffer.writeUInt32LE(stamp.salt, at);
  buffer.writeUInt32LE(end - at, at + 8);
  buffer.writeUInt32LE(stamp.commit >>> 0, at + 12);
  buffer[at + 16] = type;
  buffer[at + 17] = flags;
  buffer.writeUInt16LE(stamp.underWay, at + 18);
  buffer.writeUInt32LE(crc32(buffer.subarray(at + 8, end), stamp.salt), at + 4);
  const next = at + padded(end - at);
  for (let index = end; index < next; index++) buffer[index] = 0;
  return next;
}

/** Length of the record at `at`, without padding, or 0 where there is none that fits before `end`. */
export function lengthAt(buffer: Buffer, at: number, end: number, salt: number): number {
  if (at + headerBytes > end || buffer.readUInt32LE(at) !== salt) return 0;
  const length = buffer.readUInt32LE(at + 8);
  return length < headerBytes || at + length > end ? 0 : length;
}

/** The same, of a record whose checksum holds. */
export function checkedLengthAt(buffer: Buffer, at: number, end: number, salt: number): number {
  const length = lengthAt(buffer, at, end, salt);
  if (length === 0) return 0;
  return crc32(buffer.subarray(at + 8, at + length), salt) === buffer.readUInt32LE(at + 4) ? length : 0;
}

export const typeAt = (buffer: Buffer, at: number): number => buffer[at + 16]!;
export const commitAt = (buffer: Buffer, at: number): number => buffer.readUInt32LE(at + 12);
/** The last commit that is known to have ended before this record's began to gather. */
export const endedBefore = (buffer: Buffer, at: number): number =>
  commitAt(buffer, at) - 1 - buffer.readUInt16LE(at + 18);
export const flagsAt = (buffer: Buffer, at: number): number => buffer[at + 17]!;

/** What the index needs of an entry: read without parsing its JSON. */
export interface EntryHead {
  id: string;
  fairKey: string;
  generation: number;
  acceptedAtMs: number;
  weight: number;
  attempt: number;
  crashes: number;
  flags: number;
}

export function readEntryHead(buffer: Buffer, at: number): EntryHead {
  const idEnd = at + entryHeadBytes + buffer.readUInt16LE(at + 52);
  return {
    id: buffer.toString("utf8", at + entryHeadBytes, idEnd),
    fairKey: buffer.toString("utf8", idEnd, idEnd + buffer.readUInt16LE(at + 54)),
    generation: buffer.readUInt32LE(at + 28),
    acceptedAtMs: buffer.readDoubleLE(at + 20),
    weight: buffer.readUInt32LE(at + 32) * 1024,
    attempt: buffer.readUInt32LE(at + 36),
    crashes: buffer.readUInt32LE(at + 40),
    flags: buffer[at + 17]!,
  };
}

/** A record's JSON text, and its body or (where that lies beside the journal) the body's digest. */
export interface Content {
  json: Buffer;
  body: Buffer | null;
  digest: string | null;
}

export function readEntryContent(buffer: Buffer, at: number): Content {
  const start = at + entryHeadBytes + buffer.readUInt16LE(at + 52) + buffer.readUInt16LE(at + 54);
  return readContent(buffer, start, flagsAt(buffer, at), {
    json: buffer.readUInt32LE(at + 44),
    body: buffer.readUInt32LE(at + 48),
  });
}

export const readRejectionHead = (buffer: Buffer, at: number): { id: string; weight: number } => ({
  id: buffer.toString(
    "utf8",
    at + rejectionHeadBytes,
    at + rejectionHeadBytes + buffer.readUInt16LE(at + 32),
  ),
  weight: buffer.readUInt32LE(at + 20) * 1024,
});

export const readRejectionContent = (buffer: Buffer, at: number): Content =>
  readContent(buffer, at + rejectionHeadBytes + buffer.readUInt16LE(at + 32), flagsAt(buffer, at), {
    json: buffer.readUInt32LE(at + 24),
    body: buffer.readUInt32LE(at + 28),
  });

function readContent(
  buffer: Buffer,
  start: number,
  flags: number,
  bytes: { json: number; body: number },
): Content {
  const isBeside = (flags & besideFlag) !== 0;
  const jsonAt = isBeside ? start + digestBytes : start;
  const bodyAt = jsonAt + bytes.json;
  return {
    json: buffer.subarray(jsonAt, bodyAt),
    body: isBeside || (flags & hasBodyFlag) === 0 ? null : buffer.subarray(bodyAt, bodyAt + bytes.body),
    digest: isBeside ? buffer.toString("latin1", start, jsonAt) : null,
  };
}

export interface EventHead {
  position: number;
  id: string;
  key: string;
  isEnd: boolean;
  hasStates: boolean;
  weight: number;
}

export function readEventHead(buffer: Buffer, at: number): EventHead {
  const idEnd = at + eventHeadBytes + buffer.readUInt16LE(at + 36);
  return {
    position: buffer.readDoubleLE(at + 20),
    id: buffer.toString("utf8", at + eventHeadBytes, idEnd),
    key: buffer.toString("utf8", idEnd, idEnd + buffer.readUInt16LE(at + 38)),
    isEnd: (flagsAt(buffer, at) & isEndFlag) !== 0,
    hasStates: (flagsAt(buffer, at) & hasStatesFlag) !== 0,
    weight: buffer.readUInt32LE(at + 32) * 1024,
  };
}

export function readEventJson(buffer: Buffer, at: number): string {
  const start = at + eventHeadBytes + buffer.readUInt16LE(at + 36) + buffer.readUInt16LE(at + 38);
  return buffer.toString("utf8", start, start + buffer.readUInt32LE(at + 28));
}

export function readItems(buffer: Buffer, at: number): Item[] {
  const items: Item[] = [];
  let from = at + itemsHeadBytes;
  for (let left = buffer.readUInt32LE(at + 20); left > 0; left--) {
    const end = from + 6 + buffer.readUInt16LE(from + 4);
    items.push({ number: buffer.readUInt32LE(from), id: buffer.toString("utf8", from + 6, end) });
    from = end;
  }
  return items;
}

export function readConfirmed(buffer: Buffer, at: number): ConfirmedItem[] {
  const items: ConfirmedItem[] = [];
  for (let index = 0; index < buffer.readUInt32LE(at + 20); index++) {
    const from = at + itemsHeadBytes + 12 * index;
    items.push({ salt: buffer.readUInt32LE(from), position: buffer.readDoubleLE(from + 4) });
  }
  return items;
}
