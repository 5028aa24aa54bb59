/** The disk under the journal: it must be a real one, and its own sync latency is printed beside the figures. */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { percentileOf } from "./statistics.ts";

export interface DiskLatency {
  fileSystem: string;
  /** 4 KB overwritten in a file opened with O_DSYNC. */
  overwriteP50Us: number;
  overwriteP99Us: number;
  /** 4 KB appended, then fdatasync. */
  appendP50Us: number;
  appendP99Us: number;
}

const memoryFileSystems = ["tmpfs", "ramfs", "devtmpfs", "hugetlbfs"];
const blockBytes = 4096;
const blocks = 256;
const writes = 1500;

/** Throws where the folder is in memory: a sync that costs nothing would make every figure a lie. */
export function refuseMemory(folder: string): string {
  const fileSystem = fileSystemOf(folder);
  if (memoryFileSystems.includes(fileSystem)) {
    throw new Error(`${folder} is on ${fileSystem}, which is memory: choose a folder on a disk with --data.`);
  }
  return fileSystem;
}

/** The type of the mount that the folder is in. */
function fileSystemOf(folder: string): string {
  const path = `${resolve(folder)}/`;
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, at = ""]) => at !== "" && path.startsWith(at === "/" ? "/" : `${at}/`))
    .sort(([, a = ""], [, b = ""]) => b.length - a.length);
  return mounts[0]?.[2] ?? "unknown";
}

export function measureDisk(folder: string): DiskLatency {
  const fileSystem = refuseMemory(folder);
  const overwrite = inFile(join(folder, "sync-overwrite"), constants.O_DSYNC, (fd, block, index) => {
    writeSync(fd, block, 0, blockBytes, (index % blocks) * blockBytes);
  });
  const append = inFile(join(folder, "sync-append"), 0, (fd, block, index) => {
    writeSync(fd, block, 0, blockBytes, (blocks + index) * blockBytes);
    fdatasyncSync(fd);
  });
  return {
    fileSystem,
    overwriteP50Us: percentileOf(overwrite, 50),
    overwriteP99Us: percentileOf(overwrite, 99),
    appendP50Us: percentileOf(append, 50),
    appendP99Us: percentileOf(append, 99),
  };
}

/** Microseconds of each write to a file whose first blocks are there and synced, in rising order. */
function inFile(
  file: string,
  flags: number,
  write: (fd: number, block: Buffer, index: number) => void,
): number[] {
  const block = Buffer.alloc(blockBytes, 1);
  const made = openSync(file, "w");
  for (let index = 0; index < blocks; index++) writeSync(made, block);
  fsyncSync(made);
  closeSync(made);
  const fd = openSync(file, constants.O_RDWR | flags);
  const times: number[] = [];
  for (let index = 0; index < writes; index++) {
    const startMs = performance.now();
    write(fd, block, index);
    times.push((performance.now() - startMs) * 1000);
  }
  closeSync(fd);
  rmSync(file);
  return times.sort((a, b) => a - b);
}
