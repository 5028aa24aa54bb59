/**
 * Room on the disk that is given up when it is full: without it nothing could be written about entries any more, so
 * none could ever leave the journal and make room.
 */
import { rmSync } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";

export interface Reserve {
  /** True where there was one. */
  giveUp(): boolean;
  /** Makes it where it is missing; true where it is there. Does not try all the time. */
  restore(): Promise<boolean>;
}

const reserveBytes = 4 * 1024 * 1024;
const tryAgainAfterMs = 5_000;

export function createReserve(folder: string): Reserve {
  const file = join(folder, "reserve");
  let isThere = false;
  let triedAtMs = -Infinity;
  return {
    giveUp() {
      const was = isThere;
      isThere = false;
      triedAtMs = performance.now();
      rmSync(file, { force: true });
      return was;
    },
    async restore() {
      if (isThere || performance.now() - triedAtMs < tryAgainAfterMs) return isThere;
      triedAtMs = performance.now();
      try {
        const found = await stat(file).catch(() => null);
        if (found?.size !== reserveBytes) await fill(file);
        isThere = true;
      } catch {
        await rm(file, { force: true }).catch(() => {});
      }
      return isThere;
    },
  };
}

async function fill(file: string): Promise<void> {
  const handle = await open(file, "w", 0o600);
  try {
    const zeros = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < reserveBytes; at += zeros.length) await handle.write(zeros, 0, zeros.length, at);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
