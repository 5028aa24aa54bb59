/** Gives files back: those with nothing in them that is needed, and, by copying what is, those with little. */
import { readdirSync, rmSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { messageOf } from "../../shared/errors.ts";
import { type CompactionOptions, compactSegment } from "./compaction.ts";
import { createReserve } from "./reserve.ts";
import { isSpare, newSpareFile, syncFolder } from "./segments.ts";
import { closeSegment, type Segment } from "./segmentTable.ts";

export interface Housekeeping {
  /** Something may have come free. */
  wake(): void;
  /** Does now what `wake` does soon. */
  run(): Promise<void>;
  /** The disk is full, and what happened to entries must be written: true where something could be given up for it. */
  makeRoom(): boolean;
  /** Since then, until there is room again. */
  isDiskTight(): boolean;
  stats(): { segments: number; physicalBytes: number; liveBytes: number; compactions: number };
  stop(): Promise<void>;
}

export interface HousekeepingOptions extends CompactionOptions {
  /** Dead bytes below this are left: copying would cost more than they do. */
  deadBytesMax: number;
  logger: Logger;
}

const wakeAfterMs = 200;
const sparesMax = 4;

export function createHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { folder, segments, logger } = options;
  let timer: NodeJS.Timeout | null = null;
  let running: Promise<void> | null = null;
  let isStopped = false;
  let compactions = 0;
  /** What could not be removed or copied: left for the next start. */
  const stuck = new Set<Segment>();
  const reserve = createReserve(folder);
  /** Files are given back even where copying costs more than it brings: nothing else could go on. */
  let isTight = false;

  const pass = async () => {
    try {
      await retireDead();
      if (await reserve.restore()) isTight = false;
      for (let next = candidate(); next !== null && !isStopped; next = candidate()) {
        compactions++;
        // Where this fails half way, its copies may not be on disk: it must stay, however empty it looks.
        stuck.add(next);
        if (await compactSegment(next, options)) {
          stuck.delete(next);
          // What it said of others is said in its copies now.
          next.speaksOf.clear();
        }
        await retireDead();
      }
    } catch (error) {
      if (!isTight) logger.warn({ reason: messageOf(error) }, "the journal's files can't be tidied up now");
    }
    if (isTight) wake();
  };

  /** An own segment goes after those that it speaks of, and only when the names of those are gone from the disk. */
  const retireDead = async () => {
    for (;;) {
      const dead = [...segments].filter(
        (segment) =>
          segment.isSealed && segment.live === 0 && segment.speaksOf.size === 0 && !stuck.has(segment),
      );
      if (dead.length === 0) return;
      const spares = (await readdir(folder)).filter(isSpare).length;
      let room = sparesMax - spares;
      const retired: Segment[] = [];
      for (const segment of dead) {
        try {
          const path = join(folder, segment.file);
          closeSegment(segment);
          if (!segment.isOwn && room-- > 0) await rename(path, join(folder, newSpareFile()));
          else await rm(path, { force: true });
          segment.isGone = true;
          segments.delete(segment);
          retired.push(segment);
        } catch (error) {
          stuck.add(segment);
          logger.warn(
            { file: segment.file, reason: messageOf(error) },
            "a file of the journal can't be removed",
          );
        }
      }
      await syncFolder(folder);
      for (const other of segments) for (const segment of retired) other.speaksOf.delete(segment);
    }
  };

  const candidate = (): Segment | null => {
    const sealed = [...segments].filter((segment) => segment.isSealed && !stuck.has(segment));
    const sum = (of: (segment: Segment) => number) => sealed.reduce((total, one) => total + of(one), 0);
    const needed = sum(neededBytes);
    if (sum(({ end }) => end) - needed <= (isTight ? 0 : Math.max(options.deadBytesMax, needed))) return null;
    return sealed.find((segment) => neededBytes(segment) * 2 < segment.end) ?? null;
  };

  const run = () => {
    running ??= pass().finally(() => {
      running = null;
    });
    return running;
  };

  function wake(): void {
    if (timer !== null || isStopped) return;
    timer = setTimeout(() => {
      timer = null;
      void run();
    }, wakeAfterMs);
    timer.unref();
  }

  return {
    wake,
    async run() {
      await running;
      await run();
    },
    makeRoom() {
      isTight = true;
      wake();
      const spares = readdirSync(folder).filter(isSpare);
      for (const spare of spares) rmSync(join(folder, spare), { force: true });
      return spares.length > 0 || reserve.giveUp();
    },
    isDiskTight: () => isTight,
    stats() {
      let physicalBytes = 0;
      let liveBytes = 0;
      for (const segment of segments) {
        physicalBytes += segment.end;
        liveBytes += segment.liveBytes;
      }
      return { segments: segments.size, physicalBytes, liveBytes, compactions };
    },
    async stop() {
      isStopped = true;
      if (timer !== null) clearTimeout(timer);
      await running;
    },
  };
}

const neededBytes = (segment: Segment): number => segment.liveBytes + segment.carriedBytes;
