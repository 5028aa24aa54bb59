/**
 * Real planes as child processes, on free ports and a data folder of their own, for tests that need the
 * whole: they can be killed and started again on the same ports and data.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { newSecret } from "../../shared/ids.ts";
import type { Api } from "../../shared/scripts/apiClient.ts";
import { type PlaneProcess, spawnPlane, waitUntilReady } from "../../shared/scripts/planeProcess.ts";
import { freePort } from "./freePort.ts";
import { newTemporaryFolder, removeFolder } from "./temporaryFolder.ts";

export interface PlaneSettings {
  /** Settings beside ports, data folder and admin token, for both planes. */
  environment?: Record<string, string>;
  /** The same for one of the planes only. */
  controlEnvironment?: Record<string, string>;
  dataEnvironment?: Record<string, string>;
  /** An existing data folder, which is then not removed; otherwise one is made. */
  dataDir?: string;
}

export interface TestPlane {
  url: string;
  /** What it has written on stderr so far. */
  log(): string;
  /** Drains and ends it. */
  stop(): Promise<void>;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data; `environment` changes settings (undefined: takes away) from this start on. */
  start(environment?: Record<string, string | undefined>): Promise<void>;
  /** Begins to start it and waits for nothing, so that it can be killed while it starts. */
  launch(): void;
  isRunning(): boolean;
  /** Undefined where it does not run. */
  pid(): number | undefined;
}

export interface TestPlanes {
  controlUrl: string;
  ingressUrl: string;
  adminToken: string;
  dataDir: string;
  /** For the functions of `shared/scripts`. */
  api: Api;
  control: TestPlane;
  data: TestPlane;
  /** Ends both and removes the data folder. */
  stop(): Promise<void>;
}

const readyTimeoutMs = 20_000;
const stopTimeoutMs = 15_000;
const logCharactersMax = 200_000;

export async function bootPlanes(settings: PlaneSettings = {}): Promise<TestPlanes> {
  const planes = await preparePlanes(settings);
  try {
    await planes.control.start();
    await planes.data.start();
  } catch (error) {
    await Promise.all([planes.control.kill(), planes.data.kill()]);
    throw error;
  }
  const { control, data, adminToken } = planes;
  return {
    ...planes,
    controlUrl: control.url,
    ingressUrl: data.url,
    api: { url: control.url, token: adminToken },
  };
}

/** The same, not started yet. */
export async function preparePlanes(settings: PlaneSettings = {}): Promise<TestPlanes> {
  const dataDir = settings.dataDir ?? newTemporaryFolder();
  const environment = await planeEnvironment(dataDir, settings.environment);
  const control = testPlane("control-plane", { ...environment, ...settings.controlEnvironment });
  const data = testPlane("data-plane", { ...environment, ...settings.dataEnvironment });
  const controlUrl = environment["SWITCHYARD_CONTROL_URL"]!;
  const adminToken = environment["SWITCHYARD_ADMIN_TOKEN"]!;
  return {
    controlUrl,
    ingressUrl: `http://127.0.0.1:${environment["SWITCHYARD_INGRESS_PORT"]}`,
    adminToken,
    dataDir,
    api: { url: controlUrl, token: adminToken },
    control,
    data,
    async stop() {
      await data.stop();
      await control.stop();
      if (settings.dataDir === undefined) removeFolder(dataDir);
    },
  };
}

/** A control plane alone. */
export async function bootControlPlane(
  settings: PlaneSettings = {},
): Promise<Omit<TestPlanes, "data" | "ingressUrl">> {
  const dataDir = settings.dataDir ?? newTemporaryFolder();
  const environment = await planeEnvironment(dataDir, settings.environment);
  const control = testPlane("control-plane", { ...environment, ...settings.controlEnvironment });
  await control.start();
  const adminToken = environment["SWITCHYARD_ADMIN_TOKEN"]!;
  return {
    controlUrl: control.url,
    adminToken,
    dataDir,
    api: { url: control.url, token: adminToken },
    control,
    async stop() {
      await control.stop();
      if (settings.dataDir === undefined) removeFolder(dataDir);
    },
  };
}

/** A further data plane of running planes, with a data folder (and journal) of its own, removed by `stop`. */
export async function bootDataPlane(
  planes: Pick<TestPlanes, "controlUrl" | "dataDir">,
  settings: { name: string; environment?: Record<string, string> },
): Promise<TestPlane> {
  const dataDir = newTemporaryFolder();
  const plane = testPlane("data-plane", {
    SWITCHYARD_DATA_DIR: dataDir,
    SWITCHYARD_INGRESS_PORT: String(await freePort()),
    SWITCHYARD_CONTROL_URL: planes.controlUrl,
    SWITCHYARD_DATA_PLANE_NAME: settings.name,
    SWITCHYARD_DATA_PLANE_TOKEN: (await readFile(join(planes.dataDir, "data-plane.token"), "utf8")).trim(),
    SWITCHYARD_MASTER_KEY: (await readFile(join(planes.dataDir, "master.key"), "utf8")).trim(),
    SWITCHYARD_LOG_LEVEL: "warn",
    SWITCHYARD_RUN_THREADS: "1",
    ...settings.environment,
  });
  await plane.start();
  return {
    ...plane,
    url: plane.url,
    async stop() {
      await plane.stop();
      removeFolder(dataDir);
    },
  };
}

async function planeEnvironment(
  dataDir: string,
  environment: Record<string, string> | undefined,
): Promise<Record<string, string>> {
  // Fixed for the life of the test, so that a plane comes back where it was.
  const controlPort = String(await freePort());
  return {
    SWITCHYARD_DATA_DIR: dataDir,
    SWITCHYARD_HOST: "127.0.0.1",
    SWITCHYARD_CONTROL_PORT: controlPort,
    SWITCHYARD_INGRESS_PORT: String(await freePort()),
    SWITCHYARD_CONTROL_URL: `http://127.0.0.1:${controlPort}`,
    SWITCHYARD_ADMIN_TOKEN: newSecret("test_"),
    SWITCHYARD_LOG_LEVEL: "warn",
    // Tests are faster than people: those of the limit set one.
    SWITCHYARD_API_REQUESTS_PER_SECOND: "0",
    // A second thread is a fifth of a data plane's start, and loads each bundle again: tests that need it say so.
    SWITCHYARD_RUN_THREADS: "1",
    ...environment,
  };
}

function testPlane(name: "control-plane" | "data-plane", settings: Record<string, string>): TestPlane {
  let environment: Record<string, string | undefined> = settings;
  let process: PlaneProcess | undefined;
  let log = "";
  const spawn = (): PlaneProcess =>
    spawnPlane(name, {
      environment,
      stderr: (text) => {
        log = (log + text).slice(-logCharactersMax);
      },
    });
  const plane: TestPlane = {
    url: "",
    log: () => log,
    isRunning: () => process !== undefined,
    pid: () => process?.child.pid,
    launch() {
      process = spawn();
      // It may be killed before it listens: that is what it was launched for.
      process.listening.catch(() => {});
    },
    async start(changed) {
      environment = { ...environment, ...changed };
      process = spawn();
      try {
        await process.listening;
      } catch (error) {
        throw new Error(`${name} did not start: ${log}`, { cause: error });
      }
      plane.url = process.url;
      await waitUntilReady(process.url, readyTimeoutMs);
    },
    async stop() {
      await process?.stop(stopTimeoutMs);
      process = undefined;
    },
    async kill() {
      process?.child.kill("SIGKILL");
      await process?.ended;
      process = undefined;
    },
  };
  return plane;
}
