/** How long syncs took, as a histogram for the metrics. */
export interface SyncTimes {
  count: number;
  sumMs: number;
  maxMs: number;
  lastMs: number;
  /** How many took at most `syncBucketsMs[index]`; each counts in one bucket only, the last is for all longer ones. */
  buckets: number[];
}

export const syncBucketsMs = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000];

export const newSyncTimes = (): SyncTimes => ({
  count: 0,
  sumMs: 0,
  maxMs: 0,
  lastMs: 0,
  buckets: Array<number>(syncBucketsMs.length + 1).fill(0),
});

export function noteSync(times: SyncTimes, ms: number): void {
  times.count++;
  times.sumMs += ms;
  times.lastMs = ms;
  if (ms > times.maxMs) times.maxMs = ms;
  let index = 0;
  while (index < syncBucketsMs.length && ms > syncBucketsMs[index]!) index++;
  times.buckets[index]!++;
}

export const copyOf = (times: SyncTimes): SyncTimes => ({ ...times, buckets: [...times.buckets] });
