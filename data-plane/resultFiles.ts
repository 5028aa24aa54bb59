/**
 * Results that are too large to be answered at once: a file each, which the run's thread writes and the ingress
 * threads serve. A line of JSON says status and headers; what follows is the body.
 */
import { type FileHandle, open, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface ResultHead {
  status: number;
  headers: [name: string, value: string][];
}

export interface StoredResult extends ResultHead {
  /** Of the body. */
  bytes: number;
  /** Some of the body, from this byte on. */
  read(from: number): Promise<Buffer>;
  close(): void;
}

const suffix = ".result";
const partSuffix = ".part";
const readBytes = 256 * 1024;
/** Flow code names the headers: they have limits of their own (`headersOf`). */
const headBytesMax = 1024 * 1024;

export const resultFile = (folder: string, id: string): string => join(folder, id + suffix);
export const isResultFile = (name: string): boolean => name.endsWith(suffix) || name.endsWith(partSuffix);

/** `id`: the execution's uuid. It is whole, or not there. Resolves with the file's size. */
export async function writeResult(
  folder: string,
  id: string,
  head: ResultHead,
  body: string | Buffer,
): Promise<number> {
  const file = resultFile(folder, id);
  const bytes = Buffer.concat([
    Buffer.from(`${JSON.stringify(head)}\n`, "utf8"),
    typeof body === "string" ? Buffer.from(body, "utf8") : body,
  ]);
  await writeFile(file + partSuffix, bytes, { mode: 0o600 });
  await rename(file + partSuffix, file);
  return bytes.length;
}

/** Null where it is not there any more. */
export async function openResult(folder: string, id: string): Promise<StoredResult | null> {
  let handle: FileHandle;
  try {
    handle = await open(resultFile(folder, id), "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    const start = await readAt(handle, 0, Math.min(size, headBytesMax));
    const lineEnd = start.indexOf("\n");
    const { status, headers } = JSON.parse(start.toString("utf8", 0, lineEnd)) as ResultHead;
    const bodyFrom = lineEnd + 1;
    return {
      status,
      headers,
      bytes: size - bodyFrom,
      read: (from) => readAt(handle, bodyFrom + from, Math.min(readBytes, size - bodyFrom - from)),
      close: () => void handle.close().catch(() => {}),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readAt(handle: FileHandle, from: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await handle.read(buffer, at, length - at, from + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return buffer.subarray(0, at);
}

export const resultsFolder = (dataDir: string): string => join(dataDir, "data-plane", "results");
