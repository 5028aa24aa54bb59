/**
 * How many runs a second the pool of run threads gives: `node test/bench/runs.ts [--seconds 4] [--rounds 3] [--only piscina]`.
 * Flows that are built with spectral, in the ways that runs cost: nothing (no-op), CPU (1 ms), waiting (50 ms). Side by
 * side with what a developer would have without Switchyard: `await fn()` on the main thread, and piscina.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Piscina } from "piscina";
import type { RunContext } from "../../data-plane/contexts.ts";
import type { Run } from "../../data-plane/runs.ts";
import { sha256Hex } from "../../shared/secrets.ts";
import { body, bundleOf, contextOf, definitionOf, pack, runOf, startRunner } from "./runWorld.ts";

const { values: given } = parseArgs({
  options: {
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "3" },
    only: { type: "string", default: "" },
  },
});
/** Of each contender with each flow, all rounds together. */
const seconds = Number(given.seconds);
const rounds = Number(given.rounds);
const tasks = "/proc/self/task";
const contextsMany = 5_000;

const flows = {
  "no-op": "async () => ({ data: null })",
  "1 ms CPU":
    "async () => { for (const end = performance.now() + 1; performance.now() < end; ); return { data: null }; }",
  "50 ms wait":
    "async () => { await new Promise((resolve) => setTimeout(resolve, 50)); return { data: null }; }",
} as const;
type FlowName = keyof typeof flows;

/** How many at once: enough that nobody waits for work. */
const inFlight: Record<FlowName, number> = { "no-op": 64, "1 ms CPU": 8, "50 ms wait": 64 };

const folder = mkdtempSync(join(tmpdir(), "switchyard-bench-runs-"));
const source = await bundleOf(integrationSource());
const zip = await pack(source);
const definition = definitionOf(source, sha256Hex(zip));

interface Contender {
  name: string;
  /** Runs one; `onEnd` is called once. */
  start(flow: FlowName, count: number, onEnd: () => void): void;
  stop(): Promise<void>;
}

const bare = "bare await fn()";
const contenders: (() => Contender)[] = [
  bareLoop,
  () => piscinaPool(1),
  () => piscinaPool(2),
  () => switchyardPool(1, 1),
  () => switchyardPool(2, 1),
  () => switchyardPool(1, contextsMany),
  () => switchyardPool(1, 1, "process"),
];

try {
  const made = contenders.map((make) => make());
  const chosen = made.filter(({ name }) => name.includes(given.only));
  // Their threads would keep the process, and take turns that are not theirs.
  for (const other of made) if (!chosen.includes(other)) await other.stop();
  const found = new Map<string, Figure[]>();
  const figuresOf = (name: string, flow: FlowName) => found.get(`${name} ${flow}`) ?? [];
  for (const flow of Object.keys(flows) as FlowName[]) {
    for (const contender of chosen) await measure(contender, flow, 0.5);
    // Interleaved, so that what else the machine does meets all alike.
    for (let round = 0; round < rounds; round++) {
      for (const contender of chosen) {
        const figure = await measure(contender, flow, seconds / rounds);
        found.set(`${contender.name} ${flow}`, [...figuresOf(contender.name, flow), figure]);
      }
    }
  }
  for (const contender of chosen) await contender.stop();
  const names = chosen.map(({ name }) => name);
  const table = (cell: (name: string, flow: FlowName) => string) =>
    Object.fromEntries(
      names.map((name) => [
        name,
        Object.fromEntries((Object.keys(flows) as FlowName[]).map((flow) => [flow, cell(name, flow)])),
      ]),
    );
  const ratio = (name: string, flow: FlowName, to: string) => {
    const others = figuresOf(to, flow);
    const ratios = figuresOf(name, flow).flatMap(({ perSecond }, round) =>
      others[round] === undefined ? [] : [perSecond / others[round].perSecond],
    );
    return ratios.length === 0 ? "" : median(ratios).toFixed(2);
  };
  console.log("Runs a second as a ratio to piscina with as many threads, median of the rounds:");
  console.table(
    table((name, flow) => ratio(name, flow, `piscina, ${name.includes("2 t") ? "2 threads" : "1 thread"}`)),
  );
  console.log(`The same to ${bare}:`);
  console.table(table((name, flow) => ratio(name, flow, bare)));
  console.log("Runs a second, median:");
  console.table(
    table((name, flow) =>
      Math.round(median(figuresOf(name, flow).map(({ perSecond }) => perSecond))).toLocaleString("en"),
    ),
  );
  if (existsSync(tasks)) {
    console.log("CPU of a no-op run, µs, main thread + other threads, least of the rounds:");
    const least = (name: string, pick: (figure: Figure) => number) =>
      Math.min(...figuresOf(name, "no-op").map(pick)).toFixed(1);
    console.table(
      Object.fromEntries(
        names.map((name) => [
          name,
          `${least(name, ({ mainMicros }) => mainMicros)} + ${least(name, ({ otherMicros }) => otherMicros)}`,
        ]),
      ),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

interface Figure {
  perSecond: number;
  /** CPU for each run: a busy machine changes it less than the runs a second. */
  mainMicros: number;
  otherMicros: number;
}

/** With as many in flight as the flow wants. */
async function measure(contender: Contender, flow: FlowName, lastsSeconds: number): Promise<Figure> {
  const cpuBefore = cpuMicros();
  const beganAt = performance.now();
  const endsAt = beganAt + lastsSeconds * 1000;
  let ended = 0;
  let open = 0;
  await new Promise<void>((resolve) => {
    let freed = 0;
    let isScheduled = false;
    const startMore = () => {
      isScheduled = false;
      const count = freed;
      freed = 0;
      open += count;
      contender.start(flow, count, onEnd);
    };
    const onEnd = () => {
      ended++;
      open--;
      if (performance.now() >= endsAt) {
        if (open === 0) resolve();
        return;
      }
      freed++;
      if (isScheduled) return;
      isScheduled = true;
      setImmediate(startMore);
    };
    freed = inFlight[flow];
    startMore();
  });
  const perSecond = ended / ((performance.now() - beganAt) / 1000);
  const cpu = cpuMicros();
  return {
    perSecond,
    mainMicros: (cpu.main - cpuBefore.main) / ended,
    otherMicros: (cpu.others - cpuBefore.others) / ended,
  };
}

/** From `/proc` (Linux), in ticks of 10 ms. */
function cpuMicros(): { main: number; others: number } {
  const cpu = { main: 0, others: 0 };
  if (!existsSync(tasks)) return cpu;
  for (const id of readdirSync(tasks)) {
    const stat = readFileSync(join(tasks, id, "stat"), "utf8");
    const [user, system] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number);
    cpu[Number(id) === process.pid ? "main" : "others"] += (user! + system!) * 10_000;
  }
  return cpu;
}

function bareLoop(): Contender {
  const functions = Object.fromEntries(
    Object.entries(flows).map(([name, text]) => [name, new Function(`return ${text}`)()]),
  );
  return {
    name: bare,
    start(flow, count, onEnd) {
      for (let n = 0; n < count; n++) void functions[flow]().then(onEnd);
    },
    async stop() {},
  };
}

function piscinaPool(threads: number): Contender {
  const file = join(folder, "piscina.mjs");
  writeFileSync(
    file,
    `const functions = { ${Object.entries(flows).map(([name, text]) => `${JSON.stringify(name)}: ${text}`)} };
     export default ({ flow, request }) => functions[flow]({ body: JSON.parse(request) });`,
  );
  const pool = new Piscina({
    filename: file,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 32,
  });
  const request = body.toString();
  return {
    name: `piscina, ${threads} thread${threads > 1 ? "s" : ""}`,
    start(flow, count, onEnd) {
      for (let n = 0; n < count; n++) void pool.run({ flow, request }).then(onEnd);
    },
    stop: () => pool.destroy(),
  };
}

/** `many`: as if each of so many instances had its turn. */
function switchyardPool(threads: number, many: number, isolation = "thread"): Contender {
  const environment = { SWITCHYARD_RUN_THREADS: String(threads), SWITCHYARD_RUN_ISOLATION: isolation };
  const runner = startRunner(folder, environment, async () => zip);
  const contexts = new Map<FlowName, RunContext[]>();
  const contextsOf = (flow: FlowName) => {
    let found = contexts.get(flow);
    if (found === undefined) {
      found = Array.from({ length: many }, () => contextOf(runner, definition, flow));
      contexts.set(flow, found);
    }
    return found;
  };
  let next = 0;
  const where = isolation === "process" ? "a process" : `${threads} thread${threads > 1 ? "s" : ""}`;
  return {
    name: `switchyard, ${where}${many > 1 ? `, ${many} instances in turn` : ""}`,
    start(flow, count, onEnd) {
      const all = contextsOf(flow);
      const runs: Run[] = [];
      for (let n = 0; n < count; n++) runs.push(runOf(all[next++ % all.length]!, onEnd));
      runner.start(runs);
    },
    stop: () => runner.stop(),
  };
}

function integrationSource(): string {
  const all = Object.entries(flows).map(
    ([name, text]) =>
      `flow({ name: ${JSON.stringify(name)}, stableKey: ${JSON.stringify(name)}, description: "", onExecution: ${text} })`,
  );
  return `import { flow, integration } from "@prismatic-io/spectral";
    export default integration({ name: "Bench", description: "", version: "1.0.0", flows: [${all}] });`;
}
