/** What is killed in a round, and when. Each leaves both planes running. */
import { existsSync, readdirSync, rmSync, watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import type { TestPlane } from "../support/planes.ts";
import type { Random } from "../support/random.ts";
import { waitFor } from "../support/waitFor.ts";
import type { Load } from "./load.ts";
import type { Site } from "./site.ts";

export interface Victim {
  /** What is posted beside the ordinary load from the start. */
  bulkyBytes?: { least: number; most: number };
  /**
   * At most two deaths of the data plane: a third would rightly end what ran at all three. `bulky` is the load
   * of large bodies, where the victim asks for one.
   */
  strike(site: Site, load: Load, random: Random, bulky: Load | null): Promise<void>;
}

/** So many bodies are more than the dead bytes at which the journal is compacted. */
const bulkyBeforeCompaction = 400;
const bulkyTimeoutMs = 60_000;

export const victims = {
  dataPlane: {
    async strike({ planes }, _load, random) {
      await sleep(random.whole(20, 700));
      await planes.data.kill();
      if (random.next() < 0.4) await killAtStart(planes.data, random.whole(0, 900));
      await planes.data.start();
    },
  },
  controlPlane: {
    async strike({ planes }, _load, random) {
      await sleep(random.whole(20, 500));
      await planes.control.kill();
      await sleep(random.whole(0, 600));
      if (random.next() < 0.4) await killAtStart(planes.control, random.whole(0, 900));
      await planes.control.start();
    },
  },
  both: {
    async strike({ planes }, _load, random) {
      await sleep(random.whole(20, 600));
      const order = random.next() < 0.5 ? [planes.data, planes.control] : [planes.control, planes.data];
      await Promise.all(
        order.map(async (plane, index) => {
          await sleep(index * random.whole(0, 100));
          await plane.kill();
        }),
      );
      // The data plane must serve without the control plane, too, so either comes back first.
      for (const plane of random.next() < 0.5 ? order : order.reverse()) await plane.start();
    },
  },
  runThread: {
    async strike(site, load, random) {
      for (let deaths = random.whole(1, 3); deaths > 0; deaths--) {
        await sleep(random.whole(20, 300));
        load.fire(site.deadly(random));
      }
      await sleep(random.whole(100, 600));
      if (random.next() < 0.3) {
        await site.planes.data.kill();
        await site.planes.data.start();
      }
    },
  },
  compaction: {
    bulkyBytes: { least: 150_000, most: 250_000 },
    async strike(site, load, random, bulky) {
      const { planes } = site;
      // What lives on in old segments is what a compaction has to carry over.
      for (let n = 0; n < 8; n++) load.fire(site.lasting(random.whole(8_000, 16_000)));
      await waitFor(() => bulky!.promised.length >= bulkyBeforeCompaction, bulkyTimeoutMs);
      const journal = join(planes.dataDir, "data-plane", "journal");
      for (let deaths = random.whole(1, 2); deaths > 0; deaths--) {
        await sleep(random.whole(0, 1_000));
        await changeOf(journal, 2_000);
        await sleep(random.whole(0, 15));
        await planes.data.kill();
        await planes.data.start();
      }
    },
  },
  snapshot: {
    async strike({ planes }, _load, random) {
      await sleep(random.whole(20, 300));
      const folder = join(planes.dataDir, "data-plane");
      if (random.next() < 0.5) {
        await planes.data.kill();
        removeReplica(planes.dataDir);
        planes.data.launch();
      } else {
        await planes.control.kill();
        changeEpoch(planes.dataDir);
        planes.control.launch();
      }
      await changeOf(folder, 2_000);
      await sleep(random.whole(0, 60));
      const isControlHit = random.next() < 0.3;
      await (isControlHit ? planes.control : planes.data).kill();
      await restart(planes.control);
      await restart(planes.data);
    },
  },
} as const satisfies Record<string, Victim>;

export type VictimName = keyof typeof victims;
export const victimNames = Object.keys(victims) as VictimName[];

/** Starts it, and kills it so many milliseconds later, whatever it is at by then. */
export async function killAtStart(plane: TestPlane, afterMs: number): Promise<void> {
  plane.launch();
  await sleep(afterMs);
  await plane.kill();
}

/** Whoever was launched and not waited for is started anew, so that it is known to be ready. */
async function restart(plane: TestPlane): Promise<void> {
  if (plane.isRunning()) await plane.stop();
  await plane.start();
}

export function removeReplica(dataDir: string): void {
  const folder = join(dataDir, "data-plane");
  const replicas = readdirSync(folder).filter((name) => name.startsWith("replica"));
  if (replicas.length === 0) throw new Error(`${folder} holds no replica.`);
  for (const name of replicas) rmSync(join(folder, name), { recursive: true });
}

/** As if the control plane's store had been put back from a backup: data planes must take a snapshot. */
function changeEpoch(dataDir: string): void {
  const folder = join(dataDir, "control");
  const file = readdirSync(folder)
    .map((name) => join(folder, name))
    .find((name) => name.endsWith("config.db"));
  if (file === undefined) throw new Error(`${folder} holds no config.db.`);
  const database = new Database(file);
  try {
    database.prepare("UPDATE meta SET value = ? WHERE key = 'epoch'").run(crypto.randomUUID());
  } finally {
    database.close();
  }
}

/** Resolves when a file appears in the folder or leaves it; or after `timeoutMs`. */
export async function changeOf(folder: string, timeoutMs: number): Promise<void> {
  if (!existsSync(folder)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const watcher = watch(folder, (event) => event === "rename" && resolve());
  const timer = setTimeout(resolve, timeoutMs);
  await promise;
  clearTimeout(timer);
  watcher.close();
}
