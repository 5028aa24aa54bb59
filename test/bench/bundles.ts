/**
 * What loading flow code costs: `node test/bench/bundles.ts [--versions 1000] [--rotations 2]`. How long the first run of a
 * version waits for a bundle of 500 KB, and what the process holds while many versions take turns in its two threads.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Runner } from "../../data-plane/runs.ts";
import type { Definition } from "../../shared/definition.ts";
import { sha256Hex } from "../../shared/secrets.ts";
import { bundleOf, contextOf, definitionOf, pack, runOf, startRunner } from "./runWorld.ts";

const { values: given } = parseArgs({
  options: {
    versions: { type: "string", default: "1000" },
    rotations: { type: "string", default: "2" },
    "cold-starts": { type: "string", default: "30" },
  },
});
const versions = Number(given.versions);
const rotations = Number(given.rotations);
const coldStarts = Number(given["cold-starts"]);
const bundleBytes = 500_000;
const flowName = "Flow";
const bytesPerMb = 1024 * 1024;

const folder = mkdtempSync(join(tmpdir(), "switchyard-bench-bundles-"));
const zips = new Map<string, Buffer>();
// spectral alone is larger than that, so what it builds is read for the definition, and the code is a component by hand.
const definition = definitionOf(await bundleOf(integrationSource()), "");
const [componentKey] = Object.keys(definition.bundles);
const code = componentSource();
const source = `${code}\n${filler(bundleBytes - code.length)}`;
console.log(`The bundle has ${source.length.toLocaleString("en")} bytes.`);

try {
  await measureColdStarts();
  await measureRotation();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** A version like the others, with a package of its own. */
async function newVersion(number: number): Promise<Definition> {
  const zip = await pack(`${source}\n// ${number}\n`);
  const digest = sha256Hex(zip);
  zips.set(digest, zip);
  return { ...definition, bundles: { [componentKey!]: digest } };
}

function newRunner(name: string, threads: number): Runner {
  const environment = { SWITCHYARD_RUN_THREADS: String(threads) };
  return startRunner(join(folder, name), environment, async (digest) => zips.get(digest)!);
}

function run(runner: Runner, version: Definition): Promise<void> {
  return new Promise((resolve) => runner.start([runOf(contextOf(runner, version, flowName), resolve)]));
}

async function timeOf(work: () => Promise<void>): Promise<number> {
  const beganAtMs = performance.now();
  await work();
  return performance.now() - beganAtMs;
}

async function measureColdStarts(): Promise<void> {
  const times: Record<string, number[]> = {
    "not on this machine yet (fetched from memory, unpacked, loaded, run)": [],
    "unpacked, not in the thread yet (loaded, run)": [],
    "in the thread": [],
  };
  const [fetched, unpacked, warm] = Object.values(times) as [number[], number[], number[]];
  const all: Definition[] = [];
  for (let n = 0; n < coldStarts; n++) all.push(await newVersion(n));
  const runner = newRunner("cold", 1);
  const first = await newVersion(-1);
  await run(runner, first);
  for (const version of all) fetched.push(await timeOf(() => run(runner, version)));
  for (const version of all.slice(-5)) warm.push(await timeOf(() => run(runner, version)));
  await runner.stop();
  const again = newRunner("cold", 1);
  await run(again, first);
  for (const version of all) unpacked.push(await timeOf(() => run(again, version)));
  await again.stop();
  console.log("\nA run's time from start to end, ms:");
  console.table(
    Object.fromEntries(
      Object.entries(times).map(([what, found]) => {
        const sorted = found.toSorted((a, b) => a - b);
        const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1);
        return [what, { p50: at(0.5), p90: at(0.9), max: at(1) }];
      }),
    ),
  );
}

async function measureRotation(): Promise<void> {
  const all: Definition[] = [];
  for (let n = 0; n < versions; n++) all.push(await newVersion(1_000_000 + n));
  const runner = newRunner("rotation", 2);
  await Promise.all([run(runner, all[0]!), run(runner, all[0]!)]);
  const rows: Record<string, Record<string, string>> = {};
  const note = (runs: number, tookMs: number) => {
    const { rss, external } = process.memoryUsage();
    rows[`after ${runs} runs`] = {
      "RSS MB": (rss / bytesPerMb).toFixed(0),
      "main thread's heap and external MB": (
        (process.memoryUsage().heapUsed + external) /
        bytesPerMb
      ).toFixed(0),
      "packages on disk": String(readdirSync(join(folder, "rotation", "data-plane", "bundles")).length),
      "ms a run": tookMs.toFixed(1),
    };
  };
  note(0, 0);
  const every = Math.ceil(versions / 4);
  let runs = 0;
  let sinceMs = performance.now();
  for (let rotation = 0; rotation < rotations; rotation++) {
    for (const version of all) {
      await run(runner, version);
      if (++runs % every !== 0) continue;
      note(runs, (performance.now() - sinceMs) / every);
      sinceMs = performance.now();
    }
  }
  console.log(
    `\n${versions} versions in rotation, two threads of 512 MB each (packages are held in memory by the bench):`,
  );
  console.table(rows);
  console.log(`Threads lost: ${runner.stats().threadsLost}`);
  await runner.stop();
}

/** Functions as a bundler leaves them: read when the module is loaded, compiled when called. */
function filler(bytes: number): string {
  const functions: string[] = [];
  for (let size = 0, n = 0; size < bytes; n++) {
    const text = `function part${n}(order) { const total = order.lines.reduce((sum, line) => sum + line.price * line.count, ${n}); return { id: order.id, total, label: "part ${n} of an order: " + total.toFixed(2) }; }`;
    functions.push(text);
    size += text.length + 1;
  }
  return functions.join("\n");
}

/** With the trigger and the action that the definition's steps name. */
function componentSource(): string {
  const [trigger, action] = definition.flows[0]!.steps.map((step) => JSON.stringify(step.action.key));
  return `exports.default = {
    key: ${JSON.stringify(componentKey)},
    triggers: { ${trigger}: { perform: async (_context, payload) => ({ payload }) } },
    actions: { ${action}: { perform: async () => ({ data: null }) } },
  };`;
}

function integrationSource(): string {
  return `import { flow, integration } from "@prismatic-io/spectral";
    export default integration({ name: "Bench", description: "", version: "1.0.0", flows: [flow({
      name: ${JSON.stringify(flowName)}, stableKey: "flow", description: "", onExecution: async () => ({ data: null }),
    })] });`;
}
