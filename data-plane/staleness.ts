/**
 * How long ago the replica was known to be what the control plane has. With `SWITCHYARD_MAX_STALENESS` set, a
 * data plane that has been cut off for longer stops taking webhooks: keys may have been revoked meanwhile.
 */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { messageOf } from "../shared/errors.ts";

export interface Staleness {
  /** The replica was what the control plane had at this time. */
  noteCurrent(atMs: number): void;
  /** Seconds since then; infinite where it was never heard of. */
  ageSeconds(): number;
  isStale(): boolean;
}

/** `currentAtMs`: when it was last heard of, also by an earlier process; null for never. */
export function createStaleness(options: { maxSeconds: number; currentAtMs: number | null }): Staleness {
  const { maxSeconds } = options;
  let current: { wallMs: number; timerMs: number } | null = null;

  const noteCurrent = (atMs: number) => {
    // A moment in the future says nothing: the clock was set back since.
    const ageMs = Date.now() - atMs;
    if (ageMs >= 0) current = { wallMs: atMs, timerMs: performance.now() - ageMs };
  };
  if (options.currentAtMs !== null) noteCurrent(options.currentAtMs);

  const ageSeconds = () => {
    if (current === null) return Number.POSITIVE_INFINITY;
    // The one stands still while a machine sleeps, the other can be set back: the older one counts.
    const byClock = Date.now() - current.wallMs;
    const byTimer = performance.now() - current.timerMs;
    return Math.max(byClock, byTimer) / 1000;
  };
  return { noteCurrent, ageSeconds, isStale: () => maxSeconds > 0 && ageSeconds() > maxSeconds };
}

/** Where the moment is kept over restarts. */
export interface LastCurrent {
  /** The moment that an earlier process kept; null where there is none. */
  readonly atMs: number | null;
  keep(atMs: number): void;
}

/** The file is for the next start only, so it may lag behind. */
const keptEveryMs = 10_000;

export function openLastCurrent(file: string, warn: (message: string, reason: string) => void): LastCurrent {
  let keptAtMs = Number.NEGATIVE_INFINITY;
  let isKeeping = false;
  const write = async (atMs: number) => {
    isKeeping = true;
    try {
      await writeFile(`${file}.new`, `${atMs}\n`, { mode: 0o600 });
      await rename(`${file}.new`, file);
    } catch (error) {
      warn("when the control plane was last heard of could not be kept", messageOf(error));
    } finally {
      isKeeping = false;
    }
  };
  return {
    atMs: readMoment(file),
    keep(atMs) {
      const now = performance.now();
      if (isKeeping || now - keptAtMs < keptEveryMs) return;
      keptAtMs = now;
      void write(atMs);
    },
  };
}

function readMoment(file: string): number | null {
  try {
    const atMs = Number(readFileSync(file, "utf8"));
    return Number.isFinite(atMs) && atMs > 0 ? atMs : null;
  } catch {
    return null;
  }
}
