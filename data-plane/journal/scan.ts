/** Reading a segment from its bytes: every record whose checksum holds, whatever lies between them. */
import { checkedLengthAt, commitAt, endedBefore, padded } from "./records.ts";

export interface Gap {
  from: number;
  to: number;
  /** It is part of a last write: the process or the machine stopped while that was under way. */
  isUnfinished: boolean;
}

export interface Scan {
  /** Where the last whole record ends. */
  end: number;
  records: number;
  /** Bytes where records should be, and are not whole. */
  gaps: Gap[];
}

const yieldEveryBytes = 2 * 1024 * 1024;
const blank = Buffer.alloc(64 * 1024);

/**
 * Calls `onRecord` with each record of `buffer`, a segment's file from its start. A recycled file has an earlier life's bytes
 * behind its last record; another one has zeros there.
 */
export async function scanSegment(
  buffer: Buffer,
  from: number,
  salt: number,
  isRecycled: boolean,
  onRecord: (at: number, length: number) => void,
): Promise<Scan> {
  const mark = Buffer.alloc(4);
  mark.writeUInt32LE(salt);
  const gaps: (Gap & { commit: number })[] = [];
  let at = from;
  let end = from;
  let records = 0;
  let lastCommit = Infinity;
  let lastEnded = -1;
  let yieldAt = from + yieldEveryBytes;
  while (at < buffer.length) {
    const length = checkedLengthAt(buffer, at, buffer.length, salt);
    if (length === 0) {
      // Behind damage the next record is found by its mark, which nobody outside can know.
      const found = nextRecord(buffer, at, salt, mark);
      if (found === -1) break;
      // The first of those that are missing as a whole, else the one that goes on behind it.
      const commit = Math.min(lastCommit + 1, commitAt(buffer, found));
      gaps.push({ from: at, to: found, isUnfinished: false, commit });
      at = found;
      continue;
    }
    lastCommit = commitAt(buffer, at);
    lastEnded = Math.max(lastEnded, endedBefore(buffer, at));
    onRecord(at, length);
    records++;
    at += padded(length);
    end = at;
    if (at >= yieldAt) {
      yieldAt = at + yieldEveryBytes;
      await new Promise(setImmediate);
    }
  }
  for (const gap of gaps) gap.isUnfinished = gap.commit > lastEnded;
  const tailEnd = unfinishedEnd(buffer, end, mark, isRecycled);
  return {
    end,
    records,
    gaps: [
      ...gaps.map(({ commit: _, ...gap }) => gap),
      ...(tailEnd > end ? [{ from: end, to: tailEnd, isUnfinished: true }] : []),
    ],
  };
}

function nextRecord(buffer: Buffer, after: number, salt: number, mark: Buffer): number {
  for (let at = buffer.indexOf(mark, after + 1); at !== -1; at = buffer.indexOf(mark, at + 1)) {
    if (at % 8 === 0 && checkedLengthAt(buffer, at, buffer.length, salt) > 0) return at;
  }
  return -1;
}

/** Where the bytes of a write that did not finish end, or `from` where there are none to be seen. */
function unfinishedEnd(buffer: Buffer, from: number, mark: Buffer, isRecycled: boolean): number {
  if (isRecycled) {
    return buffer.length >= from + 4 && buffer.compare(mark, 0, 4, from, from + 4) === 0 ? from + 4 : from;
  }
  let last = buffer.length;
  while (last > from) {
    const start = Math.max(from, last - blank.length);
    if (buffer.compare(blank, 0, last - start, start, last) !== 0) break;
    last = start;
  }
  while (last > from && buffer[last - 1] === 0) last--;
  return last;
}
