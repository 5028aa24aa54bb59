/**
 * Memory that a run thread shares with the main thread, readable after the thread's death: its heartbeat, how
 * many runs it began, and what they wrote that it had not sent yet. Without it the log lines of a run that spins
 * or runs out of memory, the very lines that would explain it, died with the thread; and a run that had ended
 * well a moment before would run again.
 *
 * Layout: 4 int32 (beats, taken, bytes used, rested), then entries, each begun at a multiple of 4: int32 run,
 * kind, number (a log's or step's sequence, a section's count), bytes; then its JSON. What was written is JSON
 * anyway, so the copy costs about a microsecond for a step's results of 3 KB.
 */
export type WordKind = "log" | "step" | "section" | "end";

export interface LastWord {
  /** The run. */
  id: number;
  kind: WordKind;
  number: number;
  json: string;
}

/** Room for what is not sent yet; when it is full, the thread sends more and starts anew. */
const entriesBytesMax = 1024 * 1024;
const headerBytes = 16;
const entryHeaderBytes = 16;
const kinds: readonly WordKind[] = ["log", "step", "section", "end"];

export const newLastWords = (): SharedArrayBuffer => new SharedArrayBuffer(headerBytes + entriesBytesMax);

/** The thread's side. */
export interface LastWordsWriter {
  beat(): void;
  take(): void;
  /** No beats come until something is taken again. */
  rest(): void;
  /** False where there is no room left. */
  write(id: number, kind: WordKind, number: number, json: string): boolean;
  clear(): void;
  /** The part of the room that is taken, 0 to 1. */
  fill(): number;
}

export function lastWordsWriter(shared: SharedArrayBuffer): LastWordsWriter {
  const header = new Int32Array(shared, 0, 4);
  const numbers = new Int32Array(shared, headerBytes);
  const entries = Buffer.from(shared, headerBytes);
  let used = 0;
  return {
    beat: () => void Atomics.add(header, 0, 1),
    take: () => void Atomics.add(header, 1, 1),
    rest: () => void Atomics.store(header, 3, Atomics.load(header, 1)),
    write(id, kind, number, json) {
      const start = used + entryHeaderBytes;
      // UTF-8 takes at most three bytes for each UTF-16 unit.
      if (start + json.length * 3 > entriesBytesMax) return false;
      const length = entries.write(json, start, "utf8");
      const at = used >> 2;
      numbers[at] = id;
      numbers[at + 1] = kinds.indexOf(kind);
      numbers[at + 2] = number;
      numbers[at + 3] = length;
      used = (start + length + 3) & ~3;
      // Counted last: a thread that dies in between leaves no torn entry.
      Atomics.store(header, 2, used);
      return true;
    },
    clear() {
      used = 0;
      Atomics.store(header, 2, 0);
    },
    fill: () => used / entriesBytesMax,
  };
}

export const beatsOf = (shared: SharedArrayBuffer): number => Atomics.load(new Int32Array(shared, 0, 4), 0);
export const takenOf = (shared: SharedArrayBuffer): number => Atomics.load(new Int32Array(shared, 0, 4), 1);

/** How many pieces of work it had taken when it came to rest the last time. */
export const restedOf = (shared: SharedArrayBuffer): number => Atomics.load(new Int32Array(shared, 0, 4), 3);

/** What the thread had not sent. Never throws: flow code could have written anything there. */
export function readLastWords(shared: SharedArrayBuffer): LastWord[] {
  const used = Math.min(Atomics.load(new Int32Array(shared, 0, 4), 2), entriesBytesMax);
  const entries = Buffer.from(shared, headerBytes);
  const words: LastWord[] = [];
  for (let at = 0; at + entryHeaderBytes <= used; ) {
    const kind = kinds[entries.readInt32LE(at + 4)];
    const length = entries.readInt32LE(at + 12);
    const start = at + entryHeaderBytes;
    if (kind === undefined || length < 0 || start + length > used) break;
    const json = entries.toString("utf8", start, start + length);
    words.push({ id: entries.readInt32LE(at), kind, number: entries.readInt32LE(at + 8), json });
    at = (start + length + 3) & ~3;
  }
  return words.filter(isJson);
}

/** It goes into a record as it is, so it must be what the thread would have written. */
function isJson({ json }: LastWord): boolean {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}
