/**
 * How long ago the replica was known to be what the control plane has. With `SWITCHYARD_MAX_STALENESS` set, a
 * data plane that has been cut off for longer stops taking webhooks: keys may have been revoked meanwhile.
 */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { messageOf } from "../shared/errors.ts";

export interface Staleness {
  /** The replica is what the control plane has now. */
  noteCurrent(): void;
  /** Seconds since then; infinite where it was never heard of. */
  ageSeconds(): number;
  isStale(): boolean;
}

/** The file is for the next start only, so it may lag behind. */
const keptEveryMs = 10_000;

export function createStaleness(options: {
  maxSeconds: number;
  /** Where the moment is kept over restarts. */
  file: string;
  warn(message: string, reason: string): void;
}): Staleness {
  const { maxSeconds, file } = options;
  let current = readMoment(file);
  let keptAtMs = Number.NEGATIVE_INFINITY;
  let isKeeping = false;

  const keep = async (wallMs: number) => {
    isKeeping = true;
    try {
      await writeFile(`${file}.new`, `${wallMs}\n`, { mode: 0o600 });
      await rename(`${file}.new`, file);
    } catch (error) {
      options.warn("when the control plane was last heard of could not be kept", messageOf(error));
    } finally {
      isKeeping = false;
    }
  };

  const ageSeconds = () => {
    if (current === null) return Number.POSITIVE_INFINITY;
    // The one stands still while a machine sleeps, the other can be set back: the older one counts.
    const byClock = Date.now() - current.wallMs;
    const byTimer = performance.now() - current.timerMs;
    return Math.max(byClock, byTimer) / 1000;
  };

  return {
    noteCurrent() {
      current = { wallMs: Date.now(), timerMs: performance.now() };
      if (isKeeping || current.timerMs - keptAtMs < keptEveryMs) return;
      keptAtMs = current.timerMs;
      void keep(current.wallMs);
    },
    ageSeconds,
    isStale: () => maxSeconds > 0 && ageSeconds() > maxSeconds,
  };
}

/** The moment that an earlier process kept; null where there is none, or it lies in the future. */
function readMoment(file: string): { wallMs: number; timerMs: number } | null {
  let wallMs: number;
  try {
    wallMs = Number(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
  const ageMs = Date.now() - wallMs;
  return ageMs >= 0 ? { wallMs, timerMs: performance.now() - ageMs } : null;
}
