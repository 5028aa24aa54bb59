/**
 * Whether the next write blocks its thread. On a disk that syncs in a fraction of a millisecond that is the
 * quicker way for a few records: handing the write to a thread of libuv and hearing of its end costs two changes of
 * threads, each of which waits for a turn where cores are busy. With many records there is something better to do
 * meanwhile, and on a slower disk the thread must not stand still.
 */
export function createPace(): { mayBlock(rows: number): boolean; noteBlocked(ms: number): void } {
  let typicalMs = 0;
  let sinceTrial = 0;
  return {
    mayBlock(rows) {
      if (rows > blockingRowsMax) return false;
      const may = typicalMs < blockingMsMax || ++sinceTrial >= writesPerTrial;
      if (may) sinceTrial = 0;
      return may;
    },
    /** What a thread of libuv took says little of the disk. */
    noteBlocked(ms) {
      typicalMs += (Math.min(ms, msCounted) - typicalMs) * weightOfOne;
    },
  };
}

/** As many as are accepted in the time of a sync; more say that others are on their way. */
const blockingRowsMax = 3;
/** On an idle machine it takes 0.10 to 0.15 ms. */
const blockingMsMax = 0.5;
const writesPerTrial = 256;
/** One hiccup of the disk is not typical; some in a row are. */
const msCounted = 2;
const weightOfOne = 1 / 8;
