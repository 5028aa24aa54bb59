/**
 * Memory that a run thread shares with the main thread, readable after the thread's death: its heartbeat, how
 * many messages it took, and the reports that it had not sent yet. Without it the log lines of a run that spins
 * or runs out of memory, the very lines that would explain it, died with the thread.
 *
 * Layout: 4 int32 (beats, taken, bytes used, unused), then entries of int32 length and JSON.
 */
import type { LogReport, SectionReport, StepReport } from "../../shared/reports.ts";

export type LastWord = { id: number } & (
  | { log: LogReport; step?: never; section?: never }
  | { step: StepReport; log?: never; section?: never }
  | { section: SectionReport; log?: never; step?: never }
);

/** Room for the reports of about half a second; when it is full, the thread sends them and starts anew. */
const entriesBytesMax = 1024 * 1024;
const headerBytes = 16;
const lengthBytes = 4;

export const newLastWords = (): SharedArrayBuffer => new SharedArrayBuffer(headerBytes + entriesBytesMax);

/** The thread's side. */
export interface LastWordsWriter {
  beat(): void;
  take(): void;
  /** False where there is no room left. */
  write(word: LastWord): boolean;
  clear(): void;
}

export function lastWordsWriter(shared: SharedArrayBuffer): LastWordsWriter {
  const header = new Int32Array(shared, 0, 4);
  const entries = Buffer.from(shared, headerBytes);
  return {
    beat: () => void Atomics.add(header, 0, 1),
    take: () => void Atomics.add(header, 1, 1),
    write(word) {
      const json = JSON.stringify(word);
      const used = Atomics.load(header, 2);
      const room = entries.length - used - lengthBytes;
      // UTF-8 takes at most three bytes for each UTF-16 unit.
      if (json.length * 3 > room) return false;
      const length = entries.write(json, used + lengthBytes, "utf8");
      entries.writeInt32LE(length, used);
      // Counted last: a thread that dies in between leaves no torn entry.
      Atomics.store(header, 2, used + lengthBytes + length);
      return true;
    },
    clear: () => void Atomics.store(header, 2, 0),
  };
}

export const beatsOf = (shared: SharedArrayBuffer): number => Atomics.load(new Int32Array(shared, 0, 4), 0);
export const takenOf = (shared: SharedArrayBuffer): number => Atomics.load(new Int32Array(shared, 0, 4), 1);

/** What the thread had not sent. Never throws: flow code could have written anything there. */
export function readLastWords(shared: SharedArrayBuffer): LastWord[] {
  const used = Atomics.load(new Int32Array(shared, 0, 4), 2);
  const entries = Buffer.from(shared, headerBytes);
  const words: LastWord[] = [];
  let at = 0;
  while (at + lengthBytes < used) {
    const length = entries.readInt32LE(at);
    const end = at + lengthBytes + length;
    if (length <= 0 || end > used) break;
    try {
      words.push(JSON.parse(entries.toString("utf8", at + lengthBytes, end)));
    } catch {
      break;
    }
    at = end;
  }
  return words;
}
