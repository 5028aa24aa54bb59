/** How old the oldest entry that has not ended is, and which generations of the replica such entries name. */
import type { HeldEntry } from "./held.ts";

export interface Unfinished {
  add(entry: HeldEntry): void;
  remove(entry: HeldEntry): void;
  size(): number;
  oldestMs(): number | null;
  generations(): Set<number>;
}

/** Counts by second and by generation: a million entries need not be walked for the least of each. */
export function newUnfinished(): Unfinished {
  const bySecond = new Map<number, number>();
  const byGeneration = new Map<number, number>();
  let size = 0;
  const count = (counts: Map<number, number>, key: number, by: number) => {
    const left = (counts.get(key) ?? 0) + by;
    if (left === 0) counts.delete(key);
    else counts.set(key, left);
  };
  const all = (entry: HeldEntry, by: number) => {
    size += by;
    count(bySecond, Math.floor(entry.acceptedAtMs / 1000), by);
    count(byGeneration, entry.generation, by);
  };
  return {
    add: (entry) => all(entry, 1),
    remove: (entry) => all(entry, -1),
    size: () => size,
    oldestMs() {
      let least = Infinity;
      for (const second of bySecond.keys()) if (second < least) least = second;
      return least === Infinity ? null : least * 1000;
    },
    generations: () => new Set(byGeneration.keys()),
  };
}
