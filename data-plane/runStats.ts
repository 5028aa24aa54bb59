/** Counters of runs, for metrics. */
import type { ExecutionFinish } from "../shared/reports.ts";

export interface RunStats {
  succeeded: number;
  failed: number;
  /** By error code. */
  failedByCode: Record<string, number>;
  /** From when it was taken up to its end. `counts` has one more than `runBucketsMs`: the last is what took longer. */
  runMs: { counts: number[]; sum: number };
}

export const runBucketsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 60_000, 600_000];

export const newRunStats = (): RunStats => ({
  succeeded: 0,
  failed: 0,
  failedByCode: {},
  runMs: { counts: new Array<number>(runBucketsMs.length + 1).fill(0), sum: 0 },
});

/** `takenAtMs`: 0 where its code did not run. */
export function countEnd(
  stats: RunStats,
  { status, errorCode, endedAtMs }: ExecutionFinish,
  takenAtMs: number,
): void {
  if (status === "SUCCEEDED") stats.succeeded++;
  else {
    stats.failed++;
    const code = errorCode ?? "INTERNAL";
    stats.failedByCode[code] = (stats.failedByCode[code] ?? 0) + 1;
  }
  if (takenAtMs === 0) return;
  const ms = Math.max(0, endedAtMs - takenAtMs);
  let bucket = 0;
  while (bucket < runBucketsMs.length && ms > runBucketsMs[bucket]!) bucket++;
  stats.runMs.counts[bucket]!++;
  stats.runMs.sum += ms;
}
