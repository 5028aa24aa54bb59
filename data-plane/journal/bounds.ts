/**
 * How much the journal holds, in memory that all threads share: counted up by whoever appends, down by the main
 * thread when something is released. Bytes are counted in KB, since only whole 32-bit numbers are atomic and cheap.
 */
export interface JournalBounds {
  /** To be handed to other threads, for `journalBoundsOn`. */
  readonly shared: SharedArrayBuffer;
  /**
   * Takes a place for one entry (or `entries`) of `bytes` (from `weightOf`), or returns false where there is no
   * room. Whoever reserved gives it back with `release` if the append fails; else the main thread does.
   */
  tryReserve(bytes: number, entries?: number): boolean;
  /** Counts without asking: the record of what was accepted always gets its place. */
  add(entries: number, bytes: number): void;
  release(entries: number, bytes: number): void;
  read(): { entries: number; bytes: number };
}

export interface JournalMax {
  entriesMax: number;
  bytesMax: number;
}

/** Each entry and event weighs this much on top of its own bytes: headers, and what the index holds of it. */
const overheadBytes = 512;

/** What a record counts: of its text's characters and its body, rounded up to whole KB (so sums never drift). */
export const weightOf = (jsonLength: number, bodyBytes: number): number =>
  (overheadBytes + jsonLength + bodyBytes + 1023) & ~1023;

export const newJournalBounds = (max: JournalMax): JournalBounds =>
  journalBoundsOn(new SharedArrayBuffer(8), max);

/** The same bounds in another thread. */
export function journalBoundsOn(shared: SharedArrayBuffer, max: JournalMax): JournalBounds {
  const counts = new Int32Array(shared);
  const kbMax = Math.min(Math.floor(max.bytesMax / 1024), 2 ** 31 - 1 - 2 ** 24);
  const add = (entries: number, bytes: number) => {
    Atomics.add(counts, 0, entries);
    Atomics.add(counts, 1, Math.ceil(bytes / 1024));
  };
  const release = (entries: number, bytes: number) => {
    Atomics.sub(counts, 0, entries);
    Atomics.sub(counts, 1, Math.ceil(bytes / 1024));
  };
  return {
    shared,
    tryReserve(bytes, entries = 1) {
      const kb = Math.ceil(bytes / 1024);
      const hasRoom =
        Atomics.add(counts, 0, entries) + entries <= max.entriesMax && Atomics.load(counts, 1) + kb <= kbMax;
      if (!hasRoom) {
        Atomics.sub(counts, 0, entries);
        return false;
      }
      Atomics.add(counts, 1, kb);
      return true;
    },
    add,
    release,
    read: () => ({ entries: Atomics.load(counts, 0), bytes: Atomics.load(counts, 1) * 1024 }),
  };
}
