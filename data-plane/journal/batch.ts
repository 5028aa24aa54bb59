/** What gathers for one write: records in a buffer that is used again and again. */
export interface Batch<Done> {
  buffer: Buffer;
  used: number;
  /** One a record, in order. */
  callbacks: Done[];
  /** Of the segment that it is written to. */
  salt: number;
  commit: number;
  /** See `Stamp`. */
  underWay: number;
}

const leastBytes = 256 * 1024;
/** A buffer that had to grow beyond this is not kept. */
const keptBytesMax = 4 * 1024 * 1024;

export const newBatch = <Done>(): Batch<Done> => ({
  buffer: Buffer.allocUnsafeSlow(leastBytes),
  used: 0,
  callbacks: [],
  salt: 0,
  commit: 0,
  underWay: 0,
});

/** Makes room for `bytes` more; false where the batch would outgrow `bytesMax` (a lone record always fits). */
export function makeRoom(
  batch: Pick<Batch<unknown>, "buffer" | "used">,
  bytes: number,
  bytesMax: number,
): boolean {
  const needed = batch.used + bytes;
  if (needed <= batch.buffer.length) return true;
  if (needed > bytesMax && batch.used > 0) return false;
  const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * batch.buffer.length, bytesMax)));
  batch.buffer.copy(grown, 0, 0, batch.used);
  batch.buffer = grown;
  return true;
}

/** Empties it and returns its callbacks. */
export function takeCallbacks<Done>(batch: Batch<Done>): Done[] {
  const { callbacks } = batch;
  batch.callbacks = [];
  batch.used = 0;
  if (batch.buffer.length > keptBytesMax) batch.buffer = Buffer.allocUnsafeSlow(leastBytes);
  return callbacks;
}
