/** The room where flows run: whatever one run does to its thread, it fails alone, and its record says why. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Runner } from "../data-plane/runs.ts";
import type { Definition } from "../shared/definition.ts";
import {
  buildIntegration,
  buildLightFlows,
  type Recorded,
  type RunRequest,
  runFlow,
  startRunner,
} from "./support/flowRunner.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

// Threads are started over and over: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

const innocents = 4;

let folder: string;
let definition: Definition;
let light: Definition;
let server: Server;
let serverUrl: string;

beforeAll(async () => {
  folder = newTemporaryFolder();
  definition = await buildIntegration(source);
  light = await buildLightFlows("Light", lightNames, lightFlows);
  server = createServer((_request, response) => response.end("pong"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  serverUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  removeFolder(folder);
});

const run = (on: Runner, flowName: string, sent: RunRequest = {}) =>
  runFlow(on, flowName, { body: JSON.stringify({ url: serverUrl }), ...sent }, { definition });
const runLight = (on: Runner, flowName: string) => runFlow(on, flowName, undefined, { definition: light });

async function withRunner<Result>(
  environment: Record<string, string>,
  use: (runner: Runner) => Promise<Result>,
): Promise<Result> {
  const runner = startRunner(folder, environment);
  try {
    return await use(runner);
  } finally {
    await runner.stop();
  }
}

const warningsOf = ({ logs }: Recorded): string[] =>
  logs.filter(({ severity }) => severity === "WARN").map(({ message }) => message);

describe("beside innocent runs on its thread, a run that", () => {
  const cases = [
    ["spins", "Spin", "RUN_BLOCKED_THREAD", "blocked"],
    ["fills the heap", "Fill Heap", "RUN_KILLED_THREAD", "out of memory"],
    ["fills memory outside of the heap", "Fill Buffers", "RUN_KILLED_THREAD", "outside of its heap"],
    ["calls process.exit", "Exit", "RUN_KILLED_THREAD", "process.exit(3)"],
    ["ends its thread behind the guard's back", "Really Exit", "RUN_KILLED_THREAD", "ended"],
    ["throws outside of its promise", "Throw Aside", "FLOW_FAILED", "from a timer"],
  ] as const;
  for (const [does, flowName, errorCode, error] of cases) {
    test(`${does} fails alone`, () =>
      withRunner(
        {
          SWITCHYARD_RUN_THREADS: "1",
          SWITCHYARD_RUN_MEMORY_MB: "64",
          // A busy machine may let a thread stand still for seconds.
          SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: flowName === "Spin" ? "4000" : "30000",
        },
        async (runner) => {
          const others = Array.from({ length: innocents }, () => runLight(runner, "Wait"));
          const guilty = await runLight(runner, flowName);
          expect(guilty.outcome).toMatchObject({ status: "FAILED", errorCode });
          expect(guilty.outcome.error).toContain(error);
          expect(guilty.logs[0]!.message).toBe("begins");
          const ended = await Promise.all(others);
          expect(ended.map(({ outcome }) => outcome.error)).toEqual(Array(innocents).fill(null));
          expect((await runLight(runner, "Wait")).outcome.status).toBe("SUCCEEDED");
        },
      ));
  }

  test("floods its log or returns what is too large or cyclic harms nobody", () =>
    withRunner({ SWITCHYARD_RUN_THREADS: "1" }, async (runner) => {
      const others = Array.from({ length: innocents }, () => runLight(runner, "Wait"));
      const [flood, huge, cyclic] = await Promise.all([
        runLight(runner, "Flood"),
        runLight(runner, "Huge"),
        runLight(runner, "Cyclic"),
      ]);
      expect(warningsOf(flood!)).toEqual([expect.stringContaining("the rest is not kept")]);
      expect(huge!.outcome.result).toMatchObject({ data: { error: { code: "RESULT_TOO_LARGE" } } });
      expect(cyclic!.outcome.result?.data).toEqual({ self: "[circular]" });
      for (const { outcome } of await Promise.all(others)) expect(outcome.status).toBe("SUCCEEDED");
    }));
});

test("of many runs on a thread that died, each runs again alone, and only who kills it again is charged", () =>
  withRunner({ SWITCHYARD_RUN_THREADS: "1", SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "30000" }, async (runner) => {
    const others = Array.from({ length: 12 }, () => runLight(runner, "Wait"));
    const guilty = [runLight(runner, "Really Exit"), runLight(runner, "Really Exit")];
    for (const { outcome } of await Promise.all(guilty)) expect(outcome.errorCode).toBe("RUN_KILLED_THREAD");
    for (const { outcome, logs } of await Promise.all(others)) {
      expect(outcome).toMatchObject({ status: "SUCCEEDED", result: { data: "waited" } });
      expect(logs.filter(({ message }) => message.includes("runs again from its start")).length).toBe(1);
    }
    // The one that they were on together, and one for each of the guilty.
    expect(runner.stats().threadsLost).toBe(3);
  }));

describe("what a run leaves open", () => {
  test("is named in its record, and the run succeeds", () =>
    withRunner({}, async (runner) => {
      const timer = await run(runner, "Leave Timer");
      expect(timer.outcome.status).toBe("SUCCEEDED");
      expect(warningsOf(timer)).toEqual([expect.stringContaining("left open: 2 timers (60000 ms, 5000 ms)")]);
      expect(warningsOf(await run(runner, "Leave Socket"))).toEqual([
        expect.stringContaining(`left open: 1 connection (127.0.0.1:${new URL(serverUrl).port})`),
      ]);
      expect(warningsOf(await run(runner, "Leave Server"))).toEqual([expect.stringContaining("1 server")]);
      expect(warningsOf(await run(runner, "Leave Child"))).toEqual([
        expect.stringContaining("1 child process"),
      ]);
    }));

  test("is nothing where timers have fired, connections wait in a pool, or nobody needs to wait", () =>
    withRunner({}, async (runner) => {
      for (const flowName of ["Fetch", "Http Get", "Spectral Client", "Timers", "Unreferenced"]) {
        const { outcome, logs } = await run(runner, flowName);
        expect(outcome).toMatchObject({ status: "SUCCEEDED", result: { data: "pong" } });
        expect(logs.map(({ message }) => message)).toEqual(["begins"]);
      }
    }));

  test("adds up to a new thread, in whose favour the old one takes nothing more", () =>
    withRunner({ SWITCHYARD_RUN_THREADS: "1" }, async (runner) => {
      const first = await run(runner, "Thread Number");
      expect((await run(runner, "Thread Number")).outcome.result?.data).toBe(first.outcome.result?.data);
      const [left, other] = await Promise.all([run(runner, "Leave Many"), run(runner, "Wait")]);
      expect(warningsOf(left!)).toEqual([expect.stringContaining("500 timers")]);
      expect(other!.outcome.status).toBe("SUCCEEDED");
      const next = await run(runner, "Thread Number");
      expect(next.outcome.result?.data).not.toBe(first.outcome.result?.data);
      await waitFor(() => runner.stats().threads === 1);
      expect(runner.stats().threadsLost).toBe(0);
    }));
});

const source = `
  import http from "node:http";
  import net from "node:net";
  import { spawn } from "node:child_process";
  import { threadId } from "node:worker_threads";
  import { flow, integration } from "@prismatic-io/spectral";
  import { createClient } from "@prismatic-io/spectral/dist/clients/http";
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const get = (url) => new Promise((resolve, reject) => http.get(url, (response) => {
    let text = "";
    response.on("data", (chunk) => { text += chunk; });
    response.on("end", () => resolve(text));
  }).on("error", reject));
  const flows = {
    "Wait": async () => { await pause(400); return { data: "waited" }; },
    "Leave Timer": async () => { setTimeout(() => {}, 60_000); setInterval(() => {}, 5_000); await pause(1); return { data: null }; },
    "Leave Many": async () => { for (let n = 0; n < 500; n++) setTimeout(() => {}, 60_000); return { data: null }; },
    "Leave Socket": async (url) => {
      const socket = net.connect(Number(new URL(url).port), "127.0.0.1");
      await new Promise((resolve) => socket.once("connect", resolve));
      return { data: null };
    },
    "Leave Server": async () => { await new Promise((resolve) => net.createServer().listen(0, "127.0.0.1", resolve)); return { data: null }; },
    "Leave Child": async () => { spawn("sleep", ["3"]); return { data: null }; },
    "Fetch": async (url) => ({ data: await (await fetch(url)).text() }),
    "Http Get": async (url) => ({ data: await get(url) }),
    "Spectral Client": async (url) => ({ data: (await createClient({ baseUrl: url }).get("/")).data }),
    "Timers": async () => { for (let n = 0; n < 300; n++) await pause(0); clearTimeout(setTimeout(() => {}, 60_000)); return { data: "pong" }; },
    "Unreferenced": async () => { setInterval(() => {}, 60_000).unref(); return { data: "pong" }; },
    "Thread Number": async () => ({ data: threadId }),
  };
  export default integration({
    name: "Room", description: "", version: "1.0.0",
    flows: Object.entries(flows).map(([name, perform]) => flow({
      name, stableKey: name.toLowerCase().replaceAll(" ", "-"), description: "",
      onExecution: async ({ logger }, params) => { logger.info("begins"); return perform(params.onTrigger.results.body.data.url); },
    })),
  });
`;

/** What takes threads down, in a package that new threads load at once. */
const lightNames = [
  "Wait",
  "Spin",
  "Fill Heap",
  "Fill Buffers",
  "Exit",
  "Really Exit",
  "Throw Aside",
  "Flood",
  "Huge",
  "Cyclic",
];
const lightFlows = `{
    "Wait": async () => { await pause(400); return { data: "waited" }; },
    "Spin": async () => { await pause(50); for (;;); },
    "Fill Heap": async () => { await pause(50); const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length)); },
    "Fill Buffers": async () => { const kept = []; for (let n = 0; n < 30; n++) kept.push(Buffer.alloc(10_000_000, 1)); await pause(60_000); return kept; },
    "Exit": async () => { process.exit(3); },
    "Really Exit": async () => { await pause(50); process.reallyExit(1); },
    "Throw Aside": async () => { setTimeout(() => { throw new Error("from a timer"); }, 5); await pause(5000); },
    "Flood": async () => { for (let n = 0; n < 50_000; n++) console.log("line", n); return { data: null }; },
    "Huge": async () => ({ data: "x".repeat(500_000_000) }),
    "Cyclic": async () => { const data = {}; data.self = data; return { data }; },
}`;
