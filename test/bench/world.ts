/** What is measured: a control plane with many customers, and two data planes, one of which runs nothing. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { refuseMemory } from "./disk.ts";
import { type LoadResult, type Requests, sendLoad } from "./load.ts";
import {
  type ControlPlane,
  type DataPlane,
  type Plane,
  startControlPlane,
  startDataPlane,
} from "./planes.ts";
import { writeBody, writeTargets } from "./requests.ts";
import { checkSeed, type Seed, seed } from "./seed.ts";

export interface World {
  /** Removed at the end. */
  folder: string;
  seeded: Seed;
  control: ControlPlane;
  /** Runs what it accepts. */
  data: DataPlane;
  /** Accepts, and runs nothing. */
  held: DataPlane;
  /** What to send, by kind of endpoint. */
  requests: Record<"body" | "shared" | "flow" | "synchronous", Requests>;
  load(url: string, requests: Requests, connections: number, seconds: number): Promise<LoadResult>;
  /** Seconds that each step of the preparation took. */
  took: Record<"seed" | "snapshot", number>;
  stop(): Promise<void>;
}

export interface WorldPlan {
  /** The folder that a folder of its own is made in. */
  folder: string;
  endpoints: number;
  /** Endpoints of each kind but the first. */
  others: number;
  say(text: string): void;
}

export async function createWorld({ folder: parent, endpoints, others, say }: WorldPlan): Promise<World> {
  mkdirSync(parent, { recursive: true });
  refuseMemory(parent);
  const folder = mkdtempSync(join(parent, "world-"));
  const running: Plane[] = [];
  const stop = async (): Promise<void> => {
    // What they hold is removed with them: nothing is worth draining.
    for (const plane of running) await plane.kill();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const dataDir = join(folder, "control");
    say(`Seeding ${endpoints.toLocaleString("en")} endpoints ...`);
    const seedMs = performance.now();
    const seeded = await seed({ dataDir, endpoints, others: Math.min(endpoints, others) });
    const snapshotMs = performance.now();
    const control = await startControlPlane(dataDir);
    running.push(control.plane);
    const data = await startDataPlane(control, { name: "bench-runs", dataDir: join(folder, "runs") });
    running.push(data);
    const readyMs = performance.now();
    const held = await startDataPlane(control, {
      name: "bench-held",
      dataDir: join(folder, "held"),
      environment: { SWITCHYARD_RUN_THREADS: "0" },
    });
    running.push(held);
    const bodyFile = writeBody(folder);
    await checkSeed(seeded, { api: control.api, ingressUrl: data.url }, readFileSync(bodyFile, "utf8"));
    const requestsTo = (kind: "body" | "shared" | "flow" | "synchronous"): Requests => ({
      targetsFile: writeTargets(folder, kind, seeded[kind]),
      bodyFile,
    });
    const took = { seed: (snapshotMs - seedMs) / 1000, snapshot: (readyMs - snapshotMs) / 1000 };
    say(
      `Seeded in ${took.seed.toFixed(1)} s; the first data plane was ready in ${took.snapshot.toFixed(1)} s.`,
    );
    return {
      folder,
      seeded,
      control,
      data,
      held,
      requests: {
        body: requestsTo("body"),
        shared: requestsTo("shared"),
        flow: requestsTo("flow"),
        synchronous: requestsTo("synchronous"),
      },
      load: (url, requests, connections, seconds) =>
        sendLoad({ url, ...requests, connections, seconds }, folder),
      took,
      stop,
    };
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const plane of running) say(plane.log());
    await stop();
    throw error;
  }
}
