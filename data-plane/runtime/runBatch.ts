/**
 * Runs on their way to a thread: one block of memory for many, which changes hands without being copied.
 *
 * Of each run: six little-endian uint32 (id, context, first sequence, flags, bytes of meta, bytes of body), the
 * meta's JSON, the body.
 */

export interface RunToSend {
  id: number;
  /** The number of its context in the thread. */
  context: number;
  /** Logs and steps are numbered on from here. */
  firstSequence: number;
  /** False where nobody reads the last step's return. */
  needsResult: boolean;
  /** True where the end is to carry the request's JSON. */
  needsRequest: boolean;
  /** JSON of the journaled entry's meta. */
  meta: string;
  body: Uint8Array | null;
}

const headerBytes = 24;
const flags = { needsResult: 1, needsRequest: 2, hasBody: 4 };

/** About: characters for bytes. */
export const sizeOfRun = ({ meta, body }: Pick<RunToSend, "meta" | "body">): number =>
  headerBytes + meta.length + (body?.length ?? 0);

export function encodeRuns(runs: readonly RunToSend[]): ArrayBuffer {
  let size = 0;
  for (const { meta, body } of runs) size += headerBytes + Buffer.byteLength(meta) + (body?.length ?? 0);
  const bytes = Buffer.from(new ArrayBuffer(size));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { id, context, firstSequence, needsResult, needsRequest, meta, body } of runs) {
    view.setUint32(at, id, true);
    view.setUint32(at + 4, context, true);
    view.setUint32(at + 8, firstSequence, true);
    view.setUint32(
      at + 12,
      (needsResult ? flags.needsResult : 0) |
        (needsRequest ? flags.needsRequest : 0) |
        (body === null ? 0 : flags.hasBody),
      true,
    );
    const metaBytes = bytes.write(meta, at + headerBytes, "utf8");
    view.setUint32(at + 16, metaBytes, true);
    view.setUint32(at + 20, body?.length ?? 0, true);
    at += headerBytes + metaBytes;
    if (body === null) continue;
    bytes.set(body, at);
    at += body.length;
  }
  return bytes.buffer as ArrayBuffer;
}

export interface ReceivedRun extends RunToSend {
  /** A view of the batch. */
  body: Buffer | null;
}

export function decodeRuns(batch: ArrayBuffer): ReceivedRun[] {
  const view = new DataView(batch);
  const bytes = Buffer.from(batch);
  const runs: ReceivedRun[] = [];
  for (let at = 0; at < batch.byteLength; ) {
    const set = view.getUint32(at + 12, true);
    const metaBytes = view.getUint32(at + 16, true);
    const bodyBytes = view.getUint32(at + 20, true);
    runs.push({
      id: view.getUint32(at, true),
      context: view.getUint32(at + 4, true),
      firstSequence: view.getUint32(at + 8, true),
      needsResult: (set & flags.needsResult) !== 0,
      needsRequest: (set & flags.needsRequest) !== 0,
      meta: bytes.toString("utf8", at + headerBytes, at + headerBytes + metaBytes),
      body: (set & flags.hasBody) === 0 ? null : Buffer.from(batch, at + headerBytes + metaBytes, bodyBytes),
    });
    at += headerBytes + metaBytes + bodyBytes;
  }
  return runs;
}
