/**
 * `npm start`: both planes on one data folder, the examples published on the first start, and the lines to
 * try them. Ctrl-C drains and stops both.
 */
import { relative } from "node:path";
import { type Config, readConfig } from "../config.ts";
import { ConfigurationError, messageOf } from "../errors.ts";
import type { Api } from "./apiClient.ts";
import { addressLines, exampleLines } from "./banner.ts";
import { examples } from "./examples.ts";
import {
  PlaneEndedError,
  type PlaneName,
  type PlaneProcess,
  spawnPlane,
  waitUntilReady,
} from "./planeProcess.ts";
import { publishExample } from "./publishExample.ts";
import { readStartState, writeStartState } from "./startState.ts";

const readyTimeoutMs = 60_000;
/** Beyond the planes' own drain timeout, for what they do after it. */
const stopGraceMs = 10_000;

const running: PlaneProcess[] = [];
let stopping: Promise<never> | undefined;

try {
  await start(readConfig());
} catch (error) {
  // What fails because of a stop is part of the stop.
  if (stopping !== undefined) await stopping;
  // A plane that ended has printed its own sentence.
  if (!(error instanceof PlaneEndedError)) {
    console.error(
      error instanceof ConfigurationError ? error.message : `The start failed: ${messageOf(error)}`,
    );
  }
  await stop(1, 0);
}

async function start(config: Config): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stopping === undefined) console.log("\nStopping ...");
      void stop(0, config.drainTimeoutMs);
    });
  }
  const control = await launch("control-plane", config, {});
  // Where the control plane is, whatever port it took.
  const data = await launch("data-plane", config, {
    SWITCHYARD_CONTROL_URL: config.controlUrl ?? control.url,
  });
  await Promise.all([waitUntilReady(control.url, readyTimeoutMs), waitUntilReady(data.url, readyTimeoutMs)]);
  await showExamples(config, control, data);
}

async function launch(
  name: PlaneName,
  config: Config,
  environment: Record<string, string>,
): Promise<PlaneProcess> {
  // A newcomer's terminal shows the curl lines, not a log line for each request.
  const plane = spawnPlane(name, { environment, defaults: { SWITCHYARD_LOG_LEVEL: "warn" } });
  running.push(plane);
  await plane.listening;
  void plane.ended.then((how) => {
    if (stopping !== undefined) return;
    console.error(`The ${name.replace("-", " ")} ended (${how}), so everything is stopped.`);
    void stop(1, config.drainTimeoutMs);
  });
  return plane;
}

async function showExamples(config: Config, control: PlaneProcess, data: PlaneProcess): Promise<void> {
  const ingress = config.publicIngressUrl ?? data.url;
  const print = (lines: string[]): void => console.log(lines.join("\n"));
  print(["", ...addressLines({ control: control.url, ingress, dataDir: shortPath(config.dataDir) })]);
  if (control.adminToken !== undefined) {
    print([`  Admin      ${control.adminToken}   (the admin token, shown this once: keep it)`]);
  }
  const urlPaths = await publishedPaths(config, control);
  if (urlPaths === null) {
    print(["", "The examples are not published: start with SWITCHYARD_ADMIN_TOKEN set to do that."]);
  } else {
    const urlOf = (key: string): string | undefined => (urlPaths[key] ? ingress + urlPaths[key] : undefined);
    for (const example of examples) {
      print(exampleLines(example, (position) => urlOf(`${example.folder}/${position}`)));
    }
  }
  print(["", "Ctrl-C stops it.", ""]);
}

/** The sample requests' URL paths: published now on a first start, remembered after that. */
async function publishedPaths(config: Config, control: PlaneProcess): Promise<Record<string, string> | null> {
  const state = readStartState(config.dataDir);
  if (state?.urlPaths) return state.urlPaths;
  const token = config.adminToken ?? control.adminToken ?? state?.adminToken;
  if (!token) return null;
  writeStartState(config.dataDir, { adminToken: token, urlPaths: null });
  const api: Api = { url: control.url, token };
  console.log("\nPublishing the examples ...");
  const urlPaths: Record<string, string> = {};
  for (const example of examples) {
    const instances = await publishExample(api, example);
    example.requests.forEach((sample, position) => {
      const url = instances.get(sample.customer)?.webhookUrls[sample.flow];
      // Only the path is kept: the port or the public address may be another at the next start.
      if (url) urlPaths[`${example.folder}/${position}`] = url.slice(url.indexOf("/trigger/"));
    });
  }
  writeStartState(config.dataDir, { adminToken: null, urlPaths });
  return urlPaths;
}

function shortPath(folder: string): string {
  const path = relative(process.cwd(), folder);
  return path.startsWith("..") ? folder : `./${path}`;
}

/** Stops the data plane first, so that it can report what it still has, then the control plane. */
function stop(exitCode: number, drainTimeoutMs: number): Promise<never> {
  stopping ??= (async () => {
    for (const plane of running.toReversed()) await plane.stop(drainTimeoutMs + stopGraceMs);
    process.exit(exitCode);
  })();
  return stopping;
}
