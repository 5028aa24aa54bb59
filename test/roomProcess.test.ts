/** SWITCHYARD_RUN_ISOLATION=process: each bundle in a process of its own, and the same promises as with threads. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Runner } from "../data-plane/runs.ts";
import type { Definition } from "../shared/definition.ts";
import { buildLightFlows, type RunRequest, runFlow, startRunner } from "./support/flowRunner.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

// Processes and threads are started over and over: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let definition: Definition;
let other: Definition;

beforeAll(async () => {
  folder = newTemporaryFolder();
  definition = await buildLightFlows("One", flowNames, flows);
  other = await buildLightFlows("Other", flowNames, `{ ...${flows} }`);
});
afterAll(() => removeFolder(folder));

const run = (on: Runner, flowName: string, of = definition, sent?: RunRequest) =>
  runFlow(on, flowName, sent, { definition: of });

async function withRunner(
  environment: Record<string, string>,
  use: (runner: Runner) => Promise<void>,
): Promise<void> {
  const runner = startRunner(folder, {
    SWITCHYARD_RUN_ISOLATION: "process",
    SWITCHYARD_RUN_MEMORY_MB: "64",
    SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "4000",
    ...environment,
  });
  try {
    await use(runner);
  } finally {
    await runner.stop();
  }
}

const pidOf = async (on: Runner, of = definition) =>
  (await run(on, "Pid", of)).outcome.result?.data as number;
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test("each bundle has a process of its own, and the processes go with their runner", async () => {
  const pids: number[] = [];
  await withRunner({}, async (runner) => {
    expect(await runner.prepare(definition)).toBeNull();
    pids.push(await pidOf(runner), await pidOf(runner), await pidOf(runner, other));
    expect(pids[0]).toBe(pids[1]);
    expect(new Set([...pids, process.pid]).size).toBe(3);
    const { outcome, logs, steps } = await run(runner, "Bytes", definition, {
      body: Buffer.alloc(200_000, 7),
      headers: [["Content-Type", "application/octet-stream"]],
    });
    expect(outcome).toMatchObject({ status: "SUCCEEDED", result: { data: { bytes: 200_000 } } });
    expect([logs.length, steps.length]).toEqual([1, 2]);
  });
  await waitFor(() => !pids.some(isAlive));
});

test("where there are no more processes, an idle one makes room, and what waits for a busy one is passed", () =>
  withRunner({ SWITCHYARD_RUN_PROCESSES_MAX: "1" }, async (runner) => {
    const first = await pidOf(runner);
    const second = await pidOf(runner, other);
    expect(second).not.toBe(first);
    await waitFor(() => !isAlive(first));
    const both = await Promise.all([run(runner, "Wait"), run(runner, "Wait", other), run(runner, "Wait")]);
    for (const { outcome } of both)
      expect(outcome).toMatchObject({ status: "SUCCEEDED", result: { data: "waited" } });
    expect(runner.stats().threads).toBe(1);
  }));

const deaths = [
  ["Spin", "RUN_BLOCKED_THREAD", "blocked"],
  ["Fill Heap", "RUN_KILLED_THREAD", "out of memory"],
  ["Exit", "RUN_KILLED_THREAD", "process.exit(3)"],
  ["Kill Outright", "RUN_KILLED_THREAD", "SIGKILL"],
] as const;
test("whatever a run does to its process, it fails alone", () =>
  withRunner({}, async (runner) => {
    for (const [flowName, errorCode, error] of deaths) {
      const others = [run(runner, "Wait"), run(runner, "Wait", other)];
      const guilty = await run(runner, flowName);
      expect(guilty.outcome, flowName).toMatchObject({ status: "FAILED", errorCode });
      expect(guilty.outcome.error).toContain(error);
      // What it wrote dies with the process only where that is killed outright.
      if (flowName !== "Kill Outright") expect(guilty.logs[0]!.message).toBe("begins");
      for (const { outcome } of await Promise.all(others))
        expect(outcome).toMatchObject({ status: "SUCCEEDED", result: { data: "waited" } });
    }
    expect((await run(runner, "Wait")).outcome.status).toBe("SUCCEEDED");
  }));

const flowNames = ["Pid", "Bytes", "Wait", "Spin", "Fill Heap", "Exit", "Kill Outright"];
const flows = `{
    "Pid": async () => ({ data: process.pid }),
    "Bytes": async (params) => ({ data: { bytes: params.onTrigger.results.rawBody.data.length } }),
    "Wait": async () => { await pause(400); return { data: "waited" }; },
    "Spin": async () => { await pause(50); for (;;); },
    "Fill Heap": async () => { await pause(50); const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length)); },
    "Exit": async () => { process.exit(3); },
    "Kill Outright": async () => { await pause(50); require("node:child_process").spawnSync("kill", ["-9", String(process.pid)]); await pause(60_000); },
}`;
