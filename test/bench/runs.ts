/**
 * How many runs a second the pool of run threads gives: `node test/bench/runs.ts [--seconds 1.5] [--only pool]`. Flows
 * that are built with spectral, in the ways that runs cost: nothing (no-op), CPU (1 ms), waiting (50 ms). Side by side
 * with what a developer would have without Switchyard: `await fn()` on the main thread, and piscina.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { Piscina } from "piscina";
import yazl from "yazl";
import type { RunContext } from "../../data-plane/contexts.ts";
import { createRunner, type Run, type Runner } from "../../data-plane/runs.ts";
import { readConfig } from "../../shared/config.ts";
import { type Definition, importDefinition } from "../../shared/definition.ts";
import { newId } from "../../shared/ids.ts";
import { seal, sha256Hex } from "../../shared/secrets.ts";

const { values: given } = parseArgs({
  options: { seconds: { type: "string", default: "1.2" }, only: { type: "string", default: "" } },
});
const seconds = Number(given.seconds);
const rounds = 2;
const tasks = "/proc/self/task";
const contextsMany = 5_000;
const body = Buffer.from(
  JSON.stringify({
    type: "inventory_update",
    customerId: "A06DFFAC",
    data: Array.from({ length: 8 }, (_, i) => ({
      sku: `SKU-${1000 + i}`,
      quantity: i * 7,
      warehouse: "north",
    })),
  }),
);

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

const masterKey = { keys: [Buffer.alloc(32, 7)] };
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

const contenders: (() => Contender)[] = [
  bareLoop,
  () => piscinaPool(1),
  () => piscinaPool(2),
  () => switchyardPool(1, 1),
  () => switchyardPool(2, 1),
  () => switchyardPool(1, contextsMany),
];

const table: Record<string, Record<string, string>> = {};
try {
  const chosen = contenders.map((make) => make()).filter(({ name }) => name.includes(given.only));
  for (const flow of Object.keys(flows) as FlowName[]) {
    const found = new Map<string, Figure[]>();
    for (const contender of chosen) await measure(contender, flow, 0.3);
    // Interleaved, so that what else the machine does meets all alike.
    for (let round = 0; round < rounds; round++) {
      for (const contender of chosen)
        found.set(contender.name, [
          ...(found.get(contender.name) ?? []),
          await measure(contender, flow, seconds / rounds),
        ]);
    }
    for (const [name, figures] of found) {
      table[name] ??= {};
      const best = figures.reduce((a, b) => (a.perSecond > b.perSecond ? a : b));
      table[name][`${flow}: runs/s`] = Math.round(best.perSecond).toLocaleString("en");
      if (flow === "no-op" && existsSync(tasks)) {
        const least = (pick: (figure: Figure) => number) => Math.min(...figures.map(pick)).toFixed(1);
        table[name]["main thread µs"] = least((figure) => figure.mainMicros);
        table[name]["other threads µs"] = least((figure) => figure.otherMicros);
      }
    }
  }
  for (const contender of chosen) await contender.stop();
  console.table(table);
} finally {
  rmSync(folder, { recursive: true, force: true });
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
    name: "bare await fn()",
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
function switchyardPool(threads: number, many: number): Contender {
  const runner: Runner = createRunner({
    config: readConfig({ SWITCHYARD_DATA_DIR: folder, SWITCHYARD_RUN_THREADS: String(threads) }),
    masterKey,
    dataDir: folder,
    logger: { warn: console.error, debug: console.error },
    fetchBundle: async () => zip,
  });
  const contexts = new Map<FlowName, RunContext[]>();
  const contextsOf = (flow: FlowName) => {
    let found = contexts.get(flow);
    if (found === undefined) {
      found = Array.from({ length: many }, () => contextOf(runner, flow));
      contexts.set(flow, found);
    }
    return found;
  };
  let next = 0;
  return {
    name: `switchyard, ${threads} thread${threads > 1 ? "s" : ""}${many > 1 ? `, ${many} instances in turn` : ""}`,
    start(flow, count, onEnd) {
      const all = contextsOf(flow);
      const hooks: Run["hooks"] = {
        onTriggerDone() {},
        onTriggerFailed() {},
        onProgress() {},
        onEnd({ status, error }) {
          if (status === "FAILED") throw new Error(String(error));
          onEnd();
        },
      };
      const runs: Run[] = [];
      for (let n = 0; n < count; n++) {
        runs.push({
          context: all[next++ % all.length]!,
          part: "FLOW",
          meta: metaJson(),
          body,
          firstSequence: 2,
          needsResult: false,
          needsRequest: true,
          beforeStart: null,
          hooks,
        });
      }
      runner.start(runs);
    },
    stop: () => runner.stop(),
  };
}

function metaJson(): string {
  const id = newId();
  return `{"id":"${id}","isDebug":false,"request":{"method":"POST","pathFragment":"","query":"","headers":[["host","hooks.example.com"],["user-agent","Acme-Webhooks/2.1"],["content-type","application/json"],["content-length","600"],["accept","*/*"],["x-acme-signature","sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],["x-acme-delivery","${id}"],["x-forwarded-for","203.0.113.7"]],"keyHmacs":["hXx1bMjQ2vD0m7rV3rZ6mN8mUq1Q2b3c4d5e6f7g8h9"],"remoteAddress":"203.0.113.7","receivedAtMs":${Date.now()},"requestId":"${id}","token":"tokentokentokentokentokento"}}`;
}

function contextOf(runner: Runner, flowName: FlowName): RunContext {
  const flow = definition.flows.find(({ name }) => name === flowName)!;
  const key = () => ({
    id: newId(),
    hmac: "",
    sealed: seal(masterKey, "apiKey", `key-${newId()}`),
    expiresAtMs: null,
    revokedAtMs: null,
  });
  const entity = {
    id: newId(),
    name: "Acme",
    integrationId: newId(),
    integrationName: "Bench",
    isSystem: false,
    isEnabled: true,
    versionId: newId(),
    versionNumber: 1,
    definitionDigest: "digest",
    customer: { id: newId(), externalId: "acme", name: "Acme", users: [] },
    token: newId(),
    allowedAddresses: [],
    flows: {
      [flow.stableKey]: {
        flowId: newId(),
        flowConfigId: newId(),
        token: newId(),
        keys: [key()],
        allowedAddresses: [],
      },
    },
    sealedConfigVars: seal(masterKey, "configVars", JSON.stringify({ region: "north" })),
  };
  return runner.compile({
    part: "FLOW",
    definition,
    flow,
    instance: entity,
    integration: {
      id: entity.integrationId,
      name: "Bench",
      token: newId(),
      shared: null,
      systemInstanceId: newId(),
      organizationKeys: {},
      allowedAddresses: [],
    },
    versionId: entity.versionId,
    customerUser: null,
    ingressUrl: "https://hooks.example.com",
  });
}

function integrationSource(): string {
  const all = Object.entries(flows).map(
    ([name, text]) =>
      `flow({ name: ${JSON.stringify(name)}, stableKey: ${JSON.stringify(name)}, description: "", onExecution: ${text} })`,
  );
  return `import { flow, integration } from "@prismatic-io/spectral";
    export default integration({ name: "Bench", description: "", version: "1.0.0", flows: [${all}] });`;
}

async function bundleOf(contents: string): Promise<string> {
  const built = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "js" },
    bundle: true,
    platform: "node",
    format: "cjs",
    write: false,
  });
  return built.outputFiles[0]!.text;
}

async function pack(text: string): Promise<Buffer> {
  const file = new yazl.ZipFile();
  file.addBuffer(Buffer.from(text), "index.js");
  file.end();
  const chunks: Buffer[] = [];
  for await (const chunk of file.outputStream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function definitionOf(text: string, digest: string): Definition {
  const module = { exports: {} as { default?: { codeNativeIntegrationYAML: string } } };
  new Function("module", "exports", "require", text)(module, module.exports, createRequire(import.meta.url));
  const imported = importDefinition(module.exports.default!.codeNativeIntegrationYAML);
  return { ...imported.definition, bundles: { [imported.privateComponentKeys[0]!]: digest } };
}
