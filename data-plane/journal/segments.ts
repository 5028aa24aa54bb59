/** The journal's files: their names, their headers, and how one is taken into use. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { codeOf } from "./errors.ts";

/** `<log>.<life>.<number>.log`; each opening of a log is a life, numbered from 1, and so are its files. */
export interface SegmentName {
  log: string;
  life: number;
  number: number;
}

export const formatVersion = 1;
const magic = "SWYDJRNL";
const headerCopyBytes = 128;
/** Where the records begin. */
export const recordsFrom = 2 * headerCopyBytes;
const recycledFlag = 1;
const logNamePattern = /^[a-z0-9-]{1,64}$/;

export const fileOf = ({ log, life, number }: SegmentName): string => `${log}.${life}.${number}.log`;

export function parseFile(file: string): SegmentName | null {
  const match = /^([a-z0-9-]{1,64})\.(\d{1,9})\.(\d{1,9})\.log$/.exec(file);
  return match === null ? null : { log: match[1]!, life: Number(match[2]), number: Number(match[3]) };
}

/** Files whose records are all dead wait under such names to be used again. */
export const isSpare = (file: string): boolean => /^spare-[\w-]+\.log$/.test(file);
export const newSpareFile = (): string => `spare-${randomBytes(6).toString("hex")}.log`;
/** A file that is being made ready; left over where the process died meanwhile. */
export const isPartial = (file: string): boolean => file.endsWith(".partial");

/** The life that a log of this name begins: one more than any of its files says. */
export async function nextLife(folder: string, log: string): Promise<number> {
  if (!logNamePattern.test(log)) throw new RangeError(`${log} is no name of a log.`);
  const lives = (await readdir(folder)).map(parseFile).filter((name) => name?.log === log);
  return 1 + Math.max(0, ...lives.map((name) => name!.life));
}

export interface SegmentHeader {
  salt: number;
  log: string;
  isRecycled: boolean;
}

function headerOf({ salt, log, isRecycled }: SegmentHeader): Buffer {
  const copy = Buffer.alloc(headerCopyBytes);
  copy.write(magic, 0, "latin1");
  copy.writeUInt32LE(formatVersion, 8);
  copy.writeUInt32LE(salt, 12);
  copy.writeDoubleLE(Date.now(), 16);
  copy.writeUInt32LE(isRecycled ? recycledFlag : 0, 24);
  copy.writeUInt16LE(log.length, 28);
  copy.write(log, 30, "latin1");
  copy.writeUInt32LE(crc32(copy.subarray(0, 124)), 124);
  return Buffer.concat([copy, copy]);
}

/** The header, by whichever of its two copies is whole; or what is wrong with it. */
export function readHeader(bytes: Buffer): SegmentHeader | { problem: "damaged" | "unknown version" } {
  for (const at of [0, headerCopyBytes]) {
    const copy = bytes.subarray(at, at + headerCopyBytes);
    if (copy.length < headerCopyBytes || copy.toString("latin1", 0, 8) !== magic) continue;
    if (crc32(copy.subarray(0, 124)) !== copy.readUInt32LE(124)) continue;
    if (copy.readUInt32LE(8) !== formatVersion) return { problem: "unknown version" };
    return {
      salt: copy.readUInt32LE(12),
      log: copy.toString("latin1", 30, 30 + copy.readUInt16LE(28)),
      isRecycled: (copy.readUInt32LE(24) & recycledFlag) !== 0,
    };
  }
  return { problem: "damaged" };
}

/** A file that is ready for records: its header, its name and (with `bytes`) its blocks are on disk. */
export interface ReadySegment {
  file: string;
  /** Open for writing; each write is on disk when it returns where it was asked for so. */
  handle: FileHandle;
  salt: number;
  /** Of the file: records should not go far beyond. */
  bytes: number;
}

export interface SegmentWish {
  folder: string;
  name: SegmentName;
  salt: number;
  /** Zeros are written up to here, since overwriting blocks syncs in half the time of appending; 0: none. */
  bytes: number;
  /** Every write is synced (O_DSYNC). */
  isSynced: boolean;
}

const zeros = Buffer.alloc(1024 * 1024);

/** Makes a file ready: a spare one where there is one, else a new one. Leaves nothing behind where it fails. */
export async function readySegment(wish: SegmentWish): Promise<ReadySegment> {
  const { folder, salt, name } = wish;
  const file = fileOf(name);
  const partial = join(folder, `${file}.partial`);
  const isRecycled = wish.bytes > 0 && (await claimSpare(folder, partial, wish.bytes));
  const flags =
    constants.O_RDWR | (isRecycled ? 0 : constants.O_CREAT) | (wish.isSynced ? constants.O_DSYNC : 0);
  let handle: FileHandle | null = null;
  try {
    handle = await open(partial, flags, 0o600);
    let bytes = isRecycled ? (await handle.stat()).size : 0;
    while (bytes < wish.bytes && !isRecycled) {
      bytes += (await handle.write(zeros, 0, Math.min(zeros.length, wish.bytes - bytes), bytes)).bytesWritten;
    }
    await handle.write(headerOf({ salt, log: name.log, isRecycled }), 0, recordsFrom, 0);
    await handle.sync();
    await rename(partial, join(folder, file));
    await syncFolder(folder);
    return { file, handle, salt, bytes };
  } catch (error) {
    await handle?.close().catch(() => {});
    await rm(partial, { force: true }).catch(() => {});
    throw error;
  }
}

/** Takes one of the spare files under another name; false where there is none. Removes those that are too small. */
async function claimSpare(folder: string, as: string, bytesLeast: number): Promise<boolean> {
  for (const spare of (await readdir(folder)).filter(isSpare)) {
    try {
      if ((await stat(join(folder, spare))).size < bytesLeast) {
        await rm(join(folder, spare), { force: true });
        continue;
      }
      await rename(join(folder, spare), as);
      return true;
    } catch (error) {
      // Another log was quicker.
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }
  return false;
}

/** Names in the folder are on disk when this resolves. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
