/**
 * Whether the next write blocks its thread. On a disk that syncs in a fraction of a millisecond that is the
 * quicker way: handing the write to a thread of libuv and hearing of its end costs two changes of threads, each of
 * which waits for a turn where cores are busy. On a slower disk the thread must not stand still.
 */
export function createPace(): { mayBlock(): boolean; note(ms: number): void } {
  let typicalMs = 0;
  let isBlocking = true;
  let sinceTrial = 0;
  return {
    mayBlock() {
      isBlocking = typicalMs < blockingMsMax || ++sinceTrial >= writesPerTrial;
      if (isBlocking) sinceTrial = 0;
      return isBlocking;
    },
    note(ms) {
      // What a thread of libuv took says little of the disk.
      if (isBlocking) typicalMs += (Math.min(ms, msCounted) - typicalMs) * weightOfOne;
    },
  };
}

/** On an idle machine it takes 0.10 to 0.15 ms. */
const blockingMsMax = 0.5;
const writesPerTrial = 256;
/** One hiccup of the disk is not typical; some in a row are. */
const msCounted = 2;
const weightOfOne = 1 / 8;
