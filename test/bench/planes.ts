/** Real planes as processes of their own, for as long as they are measured. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { newSecret } from "../../shared/ids.ts";
import type { Api } from "../../shared/scripts/apiClient.ts";
import {
  type PlaneName,
  type PlaneProcess,
  spawnPlane,
  waitUntilReady,
} from "../../shared/scripts/planeProcess.ts";
import { freePort } from "../support/freePort.ts";
import { pinServer, type Server, servingThread } from "./pin.ts";

export interface Plane {
  readonly url: string;
  readonly pid: number;
  /** The end of what it has written on stderr. */
  log(): string;
  /** Its process, and the thread that serves requests. */
  server(): Server;
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again on the same port and data; `changes` are settings for this life. */
  start(changes?: Environment): Promise<void>;
}

export interface ControlPlane {
  plane: Plane;
  api: Api;
  dataDir: string;
}

export interface DataPlane extends Plane {
  /** Ends it at once and throws its journal away: what was accepted is of no more use. */
  startAnew(): Promise<void>;
  dataDir: string;
}

type Environment = Record<string, string>;

const readyTimeoutMs = 300_000;
const stopTimeoutMs = 20_000;
const logCharactersMax = 20_000;
const nameThreads = `--require ${join(import.meta.dirname, "nameThread.cjs")}`;
const common: Environment = {
  SWITCHYARD_HOST: "127.0.0.1",
  SWITCHYARD_LOG_LEVEL: "warn",
  SWITCHYARD_API_REQUESTS_PER_SECOND: "0",
  SWITCHYARD_EXECUTION_BYTES_MAX: String(60 * 1024 ** 3),
};

export async function startControlPlane(dataDir: string): Promise<ControlPlane> {
  const token = newSecret("bench_");
  const plane = await startPlane("control-plane", {
    ...common,
    SWITCHYARD_DATA_DIR: dataDir,
    SWITCHYARD_CONTROL_PORT: String(await freePort()),
    SWITCHYARD_ADMIN_TOKEN: token,
  });
  return { plane, api: { url: plane.url, token }, dataDir };
}

/** A data plane of that control plane, with a data folder of its own. */
export async function startDataPlane(
  control: ControlPlane,
  options: { name: string; dataDir: string; environment?: Environment },
): Promise<DataPlane> {
  const { name, dataDir } = options;
  const read = (file: string): string => readFileSync(join(control.dataDir, file), "utf8").trim();
  const plane = await startPlane("data-plane", {
    ...common,
    NODE_OPTIONS: nameThreads,
    SWITCHYARD_DATA_DIR: dataDir,
    SWITCHYARD_INGRESS_PORT: String(await freePort()),
    SWITCHYARD_CONTROL_URL: control.api.url,
    SWITCHYARD_DATA_PLANE_NAME: name,
    SWITCHYARD_DATA_PLANE_TOKEN: read("data-plane.token"),
    SWITCHYARD_MASTER_KEY: read("master.key"),
    // A round fills it with what is not run yet; its bound is not what is measured here.
    SWITCHYARD_JOURNAL_ENTRIES_MAX: "20000000",
    SWITCHYARD_JOURNAL_BYTES_MAX: String(40 * 1024 ** 3),
    ...options.environment,
  });
  return Object.assign(plane, {
    dataDir,
    async startAnew() {
      await plane.kill();
      rmSync(join(dataDir, "data-plane", "journal"), { recursive: true, force: true });
      await plane.start();
    },
  });
}

async function startPlane(name: PlaneName, environment: Environment): Promise<Plane> {
  let running: PlaneProcess | undefined;
  let url = "";
  let log = "";
  const plane: Plane = {
    get url() {
      return url;
    },
    get pid() {
      return running!.child.pid!;
    },
    log: () => log,
    server: () => (name === "data-plane" ? servingThread(running!.child.pid!) : mainThread(running!)),
    async start(changes = {}) {
      const started = spawnPlane(name, {
        environment: { ...environment, ...changes },
        stderr: (text) => {
          log = (log + text).slice(-logCharactersMax);
        },
      });
      running = started;
      try {
        await started.listening;
        url = started.url;
        await waitUntilReady(url, readyTimeoutMs);
      } catch (error) {
        started.child.kill("SIGKILL");
        throw new Error(`The ${name} did not start: ${log}`, { cause: error });
      }
      if (name === "data-plane") pinServer(plane.server());
    },
    async stop() {
      await running?.stop(stopTimeoutMs);
    },
    async kill() {
      running?.child.kill("SIGKILL");
      await running?.ended;
    },
  };
  await plane.start();
  return plane;
}

const mainThread = ({ child }: PlaneProcess): Server => ({ pid: child.pid!, tid: child.pid! });
