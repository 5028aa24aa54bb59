/** Real components, built with spectral and esbuild, run in real threads. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decode } from "@msgpack/msgpack";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BundleLease, BundleRefusedError, createBundles } from "../data-plane/bundles.ts";
import type { Runner } from "../data-plane/runs.ts";
import { logLinesMax } from "../data-plane/runtime/capture.ts";
import type { Definition } from "../shared/definition.ts";
import { newId, toNodeId } from "../shared/ids.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import type { LogReport, StepReport } from "../shared/reports.ts";
import {
  apiKey,
  buildIntegration,
  fetchPackage,
  pack,
  password,
  type RunChange,
  type RunRequest,
  runFlow,
  startRunner as startRunnerIn,
} from "./support/flowRunner.ts";
import { waitFor } from "./support/waitFor.ts";

const runBlockedTimeoutMs = 1500;

let folder: string;
let runner: Runner;
let codeNative: Definition;

const startRunner = (environment: Record<string, string>) => startRunnerIn(folder, environment);
const run = (flowName: string, sent?: RunRequest, on = runner, change: Partial<RunChange> = {}) =>
  runFlow(on, flowName, sent, { definition: codeNative, ...change });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "switchyard-runs-"));
  codeNative = await buildIntegration(codeNativeSource);
  runner = startRunner({ SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: String(runBlockedTimeoutMs) });
});

afterAll(async () => {
  await runner.stop();
  await rm(folder, { recursive: true, force: true });
});

describe("a code-native flow", () => {
  test("gets the request, its context and its trigger's results, and leaves logs and step results", async () => {
    const executionId = newId();
    const { outcome, steps, logs, sections } = await run("Echo", { body: '{"type":"a","n":1}' }, runner, {
      executionId,
    });
    expect(outcome).toMatchObject({ status: "SUCCEEDED", errorCode: null, error: null });
    expect(outcome.result?.data).toMatchObject({
      body: { type: "a", n: 1 },
      customer: { externalId: "acme", name: "Acme" },
      instance: { name: "Acme's instance" },
      integration: { name: "Test", externalVersion: "1.2.3" },
      flow: { name: "Echo", stableId: "echo" },
      apiKeys: [apiKey],
      url: "https://hooks.test/trigger/flow-token",
      plain: "plain value",
      stepId: "echo-onExecution",
      executionId: toNodeId("InstanceExecutionResult", executionId),
      debug: false,
    });
    expect(steps.map((step) => [step.stepName, step.stepStableKey, step.error])).toEqual([
      ["On Trigger", "echo-onTrigger", null],
      ["On Execution", "echo-onExecution", null],
    ]);
    expect(resultsOf(steps[0]!).data).toMatchObject({
      body: { data: { type: "a", n: 1 } },
      pathFragment: "/more",
    });
    expect(logs.map((log) => [log.severity, log.message, log.stepName])).toEqual([
      ["INFO", "got a 1", "On Execution"],
      ["WARN", "careful { deep: { list: [ 1, 2 ] } }", "On Execution"],
    ]);
    expect(logs[0]!.sectionId).toBe(sections[0]!.sectionId);
    expect(logs[1]!.sectionId).toBeNull();
    expect(sequencesOf({ logs, steps })).toEqual([10, 11, 12, 13]);
  });

  test("answers by its own trigger before the run ends", async () => {
    const { outcome, responses } = await run("Own Trigger");
    expect(responses).toEqual([
      { statusCode: 202, contentType: "text/plain", headers: { "x-a": "1" }, body: "hi" },
    ]);
    expect(outcome.result?.data).toEqual({ fromTrigger: "changed" });
  });

  test("that throws fails with the sentence, and a trigger that throws says so at once", async () => {
    const flow = await run("Throws");
    expect(flow.outcome).toMatchObject({
      status: "FAILED",
      errorCode: "FLOW_FAILED",
      error: "On Execution: no such order",
    });
    expect(flow.steps.at(-1)).toMatchObject({ stepName: "On Execution", error: "no such order" });
    expect(flow.logs.at(-1)).toMatchObject({
      severity: "ERROR",
      message: expect.stringContaining("no such order"),
    });
    const trigger = await run("Trigger Throws");
    expect(trigger.outcome).toMatchObject({ status: "FAILED", errorCode: "TRIGGER_FAILED" });
    expect(trigger.failures).toEqual(["On Trigger: bad signature"]);
  });

  test("reads headers in any case, and the exact bytes of the body", async () => {
    const bytes = Buffer.from([0, 255, 254, 13, 10, 0x7b]);
    const { outcome } = await run("Headers", {
      body: bytes,
      headers: [
        ["Content-Type", "application/octet-stream"],
        ["X-Shop-Topic", "orders"],
        ["Via", "one"],
        ["via", "two"],
        ["constructor", "text"],
      ],
    });
    expect(outcome.result?.data).toEqual({
      topics: ["orders", "orders", "orders"],
      names: ["Content-Type", "X-Shop-Topic", "Via", "constructor"],
      via: "one, two",
      has: [true, false],
      own: "text",
      missing: null,
      clone: "orders",
      raw: bytes.toString("hex"),
      isBuffer: true,
    });
  });

  test("keeps connection fields, API keys and sensitive headers out of logs and results, not out of its code", async () => {
    const { outcome, logs, steps } = await run("Secrets", {
      headers: [
        ["Authorization", "Bearer token-of-the-sender"],
        ["Cookie", "session=abcdef123456"],
      ],
      body: `raw ${password}`,
    });
    expect(outcome.result?.data).toEqual({ password, apiKey });
    const shown = logs.map((log) => log.message).join("\n") + JSON.stringify(steps.map(resultsOf), showBytes);
    for (const secret of [
      password,
      JSON.stringify(password).slice(1, -1),
      apiKey,
      "token-of-the-sender",
      "abcdef123456",
    ]) {
      expect(shown).not.toContain(secret);
    }
    expect(shown).toContain("[redacted]");
    expect(shown).toContain("plain value");
  });

  test("has its console captured, also beside another run on the same thread", async () => {
    const [one, two] = await Promise.all([
      run("Chatter", { body: '{"name":"one"}' }),
      run("Chatter", { body: '{"name":"two"}' }),
    ]);
    for (const [name, { logs }] of [
      ["one", one],
      ["two", two],
    ] as const) {
      expect(logs.map((log) => log.message)).toEqual([
        ...Array.from({ length: 5 }, (_, i) => `${name} says ${i}`),
        `${name} on stdout`,
      ]);
    }
  });

  test("can return anything: the record shows it as far as it can be shown", async () => {
    const { outcome, steps } = await run("Odd Result");
    expect(outcome.status).toBe("SUCCEEDED");
    expect(resultsOf(steps.at(-1)!).data).toEqual({
      self: "[circular]",
      big: "12345678901234567890",
      code: "[function code]",
      broken: "[cannot be read]",
      bytes: Buffer.from([1, 2, 3]),
      map: [["a", 1]],
      "[__proto__]": { polluted: true },
    });
    expect(outcome.result?.data).toMatchObject({ self: "[circular]", big: "12345678901234567890" });
  });

  test("can return half a gigabyte: the run succeeds, a note stands for its results", async () => {
    const { outcome, steps, logs } = await run("Huge Result");
    expect(outcome.status).toBe("SUCCEEDED");
    expect(steps.at(-1)).toMatchObject({ isTruncated: true });
    expect(resultsOf(steps.at(-1)!).data).toContain("more than 524288 bytes");
    expect(outcome.result).toMatchObject({ statusCode: 500, data: { error: { code: "RESULT_TOO_LARGE" } } });
    expect(logs.at(-1)!.severity).toBe("WARN");
  });

  test("that writes without end keeps a bounded log", async () => {
    const { outcome, logs } = await run("Endless Log");
    expect(outcome.status).toBe("SUCCEEDED");
    expect(logs.length).toBeLessThanOrEqual(logLinesMax + 1);
    expect(logs.at(-1)).toMatchObject({
      severity: "WARN",
      message: expect.stringContaining("the rest is not kept"),
    });
  });

  test("that leaves an error to nobody fails itself, not its neighbour", async () => {
    const neighbour = run("Slow");
    const [timer, rejection] = await Promise.all([run("Throws In Timer"), run("Rejects Aside")]);
    expect(timer.outcome).toMatchObject({ status: "FAILED", error: expect.stringContaining("from a timer") });
    expect(rejection.outcome).toMatchObject({ status: "FAILED", error: expect.stringContaining("aside") });
    expect((await neighbour).outcome.status).toBe("SUCCEEDED");
  });

  test("calls actions of its version's other components through spectral's component registry", async () => {
    const digest = await pack(plainComponentSource);
    const definition = { ...codeNative, bundles: { ...codeNative.bundles, other: digest } };
    expect((await run("Invokes", {}, runner, { definition })).outcome.result?.data).toEqual({
      got: { n: "1", list: 2 },
    });
    const { outcome } = await run("Invokes");
    expect(outcome).toMatchObject({
      status: "FAILED",
      error: expect.stringContaining('"other" is not part of this version'),
    });
  });
});

describe("a run that misbehaves is charged alone", () => {
  test("spinning beside a healthy run on the same thread", async () => {
    const alone = startRunner({
      SWITCHYARD_RUN_THREADS: "1",
      SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: String(runBlockedTimeoutMs),
    });
    try {
      const healthy = run("Slow", {}, alone);
      const spinning = run("Spin", {}, alone);
      const spun = await spinning;
      expect(spun.outcome).toMatchObject({ status: "FAILED", errorCode: "RUN_BLOCKED_THREAD" });
      expect(spun.logs.map((log) => log.message)).toContain("about to spin");
      expect(new Set(sequencesOf(spun)).size).toBe(sequencesOf(spun).length);
      const survived = await healthy;
      expect(survived.outcome).toMatchObject({ status: "SUCCEEDED", result: { data: "slept" } });
      expect(survived.logs.some((log) => log.message.includes("runs again from its start"))).toBe(true);
      expect((await run("Echo", {}, alone)).outcome.status).toBe("SUCCEEDED");
      expect(alone.stats().threadsLost).toBe(2);
    } finally {
      await alone.stop();
    }
  });

  test("a thread that has nothing to do is not taken for blocked; one that what was left blocks is", async () => {
    const quiet = startRunner({ SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "500" });
    try {
      for (let round = 0; round < 2; round++) {
        expect((await run("Echo", {}, quiet)).outcome.status).toBe("SUCCEEDED");
        await sleep(1200);
      }
      expect(quiet.stats().threadsLost).toBe(0);
      const spun = await run("Spin", {}, quiet);
      expect(spun.outcome).toMatchObject({ status: "FAILED", errorCode: "RUN_BLOCKED_THREAD" });
      expect(quiet.stats().threadsLost).toBe(1);
      expect((await run("Spin Later", {}, quiet)).outcome.status).toBe("SUCCEEDED");
      await waitFor(() => quiet.stats().threadsLost === 2);
    } finally {
      await quiet.stop();
    }
  });

  test("process.exit ends the run only", async () => {
    const neighbour = run("Slow");
    const { outcome, logs } = await run("Exit");
    expect(outcome).toMatchObject({
      status: "FAILED",
      errorCode: "RUN_KILLED_THREAD",
      error: "The flow called process.exit(3).",
    });
    expect(logs[0]!.message).toBe("about to exit");
    expect((await neighbour).logs).toEqual([]);
  });

  test("running out of memory, on the heap and outside of it", async () => {
    const small = startRunner({ SWITCHYARD_RUN_MEMORY_MB: "64", SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "3000" });
    try {
      const heap = await run("Fill Heap", {}, small);
      expect(heap.outcome).toMatchObject({ status: "FAILED", errorCode: "RUN_KILLED_THREAD" });
      expect(heap.outcome.error).toContain("out of memory");
      const outside = await run("Fill Buffers", {}, small);
      expect(outside.outcome).toMatchObject({ status: "FAILED", errorCode: "RUN_KILLED_THREAD" });
      expect(outside.outcome.error).toContain("outside of its heap");
      expect(outside.logs[0]!.message).toBe("about to fill");
      expect(outside.logs[1]).toMatchObject({ severity: "ERROR", message: outside.outcome.error });
    } finally {
      await small.stop();
    }
  });

  test("outlasting its time", async () => {
    const hasty = startRunner({ SWITCHYARD_RUN_TIMEOUT_MS: "400", SWITCHYARD_RUN_THREADS: "1" });
    try {
      expect((await run("Echo", {}, hasty)).outcome.status).toBe("SUCCEEDED");
      const { outcome, logs } = await run("Never", {}, hasty);
      expect(outcome).toMatchObject({ status: "FAILED", errorCode: "RUN_TIMEOUT" });
      expect(logs[0]!.message).toBe("waiting");
      expect((await run("Echo", {}, hasty)).outcome.status).toBe("SUCCEEDED");
    } finally {
      await hasty.stop();
    }
  });

  test("a run that is late because its thread was blocked by another is not charged for its time", async () => {
    const hasty = startRunner({
      // It runs again in a new thread, whose start on a busy machine takes its share of this.
      SWITCHYARD_RUN_TIMEOUT_MS: "4000",
      SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "4500",
      SWITCHYARD_RUN_THREADS: "1",
    });
    try {
      await run("Echo", {}, hasty);
      const [slow, spun] = await Promise.all([run("Slow", {}, hasty), run("Spin", {}, hasty)]);
      expect(slow.outcome.status).toBe("SUCCEEDED");
      expect(spun.outcome).toMatchObject({ status: "FAILED", errorCode: "RUN_BLOCKED_THREAD" });
    } finally {
      await hasty.stop();
    }
  });

  test("more runs than there is room for wait their turn", async () => {
    const narrow = startRunner({ SWITCHYARD_RUN_THREADS: "1", SWITCHYARD_RUNS_PER_THREAD_MAX: "2" });
    try {
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => run("Echo", {}, narrow)));
      expect(outcomes.map(({ outcome }) => outcome.status)).toEqual(Array(20).fill("SUCCEEDED"));
      expect(narrow.idle()).toBe(true);
    } finally {
      await narrow.stop();
    }
  });
});

describe("a shared preprocess flow", () => {
  test("runs as the system, and reading a config variable is refused with a sentence", async () => {
    const asSystem = { instance: null, part: "PREPROCESS" as const };
    const echo = await run("Echo System", {}, runner, asSystem);
    expect(echo.outcome.result?.data).toEqual({
      customer: { id: "", externalId: "", name: "System" },
      vars: "{}",
    });
    const { outcome } = await run("Echo", {}, runner, asSystem);
    expect(outcome).toMatchObject({ status: "FAILED", errorCode: "PREPROCESS_FAILED" });
    expect(outcome.error).toContain('"Plain" can\'t be read here');
  });
});

describe("a low-code flow", () => {
  test("runs the code step of the shared-webhook tutorial", async () => {
    const { definition } = importDefinition(tutorialYaml);
    const body = JSON.stringify({ customerId: "A06DFFAC", type: "inventory_update", data: [] });
    const { outcome, steps } = await run("Preprocess", { body }, runner, { definition });
    expect(outcome.error).toBeNull();
    expect(outcome.result?.data).toEqual({
      customerExternalId: "id-of-A06DFFAC",
      flowName: "Update Inventory",
    });
    expect(steps.map((step) => step.stepName)).toEqual([
      "Trigger",
      "Get Customer by Acme ID",
      "Map Flow Name",
    ]);
  });

  test("resolves values, references, config variables, templates and lists, of own data only", async () => {
    const bundles = { shown: await pack(plainComponentSource) };
    const definition = { ...importDefinition(inputsYaml).definition, bundles };
    const { outcome } = await run("Inputs", { body: '{"a.b":[{"c":7}]}' }, runner, { definition });
    expect(outcome.error).toBeNull();
    expect(outcome.result?.data).toEqual({
      got: {
        byDefault: "d",
        reference: 7,
        header: "application/json",
        configVar: "plain value",
        template: "v=plain value c=7!",
        list: ["x", 7],
        pairs: [{ key: "k", value: "plain value" }],
      },
    });
  });

  test("fails with a sentence on a step whose component is not there, or whose code is not code", async () => {
    const { definition } = importDefinition(tutorialYaml.replace("key: runCode", "key: walkCode"));
    expect((await run("Preprocess", {}, runner, { definition })).outcome.error).toContain(
      'no action "walkCode"',
    );
    const broken = importDefinition(tutorialYaml.replace("module.exports =", "module.exports = ="));
    expect((await run("Preprocess", {}, runner, broken)).outcome.error).toContain("can't be compiled");
  });
});

describe("components", () => {
  test("that can't be loaded, or lack what a flow calls, fail the preparation with a sentence", async () => {
    expect(await runner.prepare(codeNative)).toBeNull();
    const withBundle = async (source: string): Promise<Definition> => {
      const digest = await pack(source);
      return {
        ...codeNative,
        bundles: Object.fromEntries(Object.keys(codeNative.bundles).map((key) => [key, digest])),
      };
    };
    expect(await runner.prepare(await withBundle("throw new Error('no luck')"))).toContain("no luck");
    expect(await runner.prepare(await withBundle("exports.default = {actions: {}, triggers: {}}"))).toContain(
      "has no",
    );
    expect(await runner.prepare(await withBundle("process.exit(1)"))).toContain("process.exit");
    const wrong = { ...codeNative, bundles: { x: "0".repeat(64) } };
    expect(await runner.prepare(wrong)).toContain("not there");
  });

  test("are fetched once for all that ask, again after a failure, and never with a wrong digest", async () => {
    let fetches = 0;
    const digest = await pack("exports.default = {}");
    const bundles = createBundles({
      folder: join(folder, "cache"),
      bytesMax: 100_000,
      keptMax: 1,
      async fetchBundle(wanted) {
        if (++fetches === 1) throw new Error("connection refused");
        return fetchPackage(wanted) ?? Buffer.from("something else");
      },
    });
    const leases = await Promise.all([bundles.take(digest, 5000), bundles.take(digest, 5000)]);
    expect(new Set(leases.map((lease: BundleLease) => lease.folder)).size).toBe(1);
    expect(fetches).toBe(2);
    await expect(bundles.take("1".repeat(64), 5000)).rejects.toThrow(BundleRefusedError);
    await expect(bundles.take("../../etc", 5000)).rejects.toThrow(BundleRefusedError);
    bundles.stop();
  });
});

const resultsOf = (step: StepReport) => decode(Buffer.from(step.results, "base64")) as { data: unknown };

const sequencesOf = ({ logs, steps }: { logs: LogReport[]; steps: StepReport[] }): number[] =>
  [...logs, ...steps].map(({ sequence }) => sequence).sort((a, b) => a - b);

const showBytes = (_key: string, value: unknown) =>
  value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value;

const codeNativeSource = `
  import { flow, integration } from "@prismatic-io/spectral";
  const flows = {
    "Echo": async ({ logger, ...context }, params) => {
      const { body } = params.onTrigger.results;
      logger.section("reading");
      logger.info("got %s", body.data?.type, body.data?.n);
      logger.sectionEnd({ label: "reading" });
      console.warn("careful", { deep: { list: [1, 2] } });
      return { data: {
        body: body.data, customer: context.customer, instance: context.instance, integration: context.integration,
        flow: context.flow, apiKeys: context.webhookApiKeys["Echo"], url: context.webhookUrls["Echo"],
        executionId: context.executionId, plain: context.configVars["Plain"], stepId: context.stepId, debug: context.debug.enabled,
      } };
    },
    "Echo System": async ({ customer, configVars }) => ({ data: { customer, vars: JSON.stringify({ ...configVars }) } }),
    "Throws": async () => { throw new Error("no such order"); },
    "Headers": async (_context, { onTrigger: { results: { headers, rawBody } } }) => ({ data: {
      topics: [headers["x-shop-topic"], headers["X-SHOP-TOPIC"], headers["X-Shop-Topic"]],
      names: Object.keys(JSON.parse(JSON.stringify(headers))), via: headers.VIA,
      has: ["x-SHOP-topic" in headers, "x-none" in headers], own: headers.constructor, missing: headers["x-none"] ?? null,
      clone: structuredClone(headers)["X-Shop-Topic"], raw: rawBody.data.toString("hex"), isBuffer: Buffer.isBuffer(rawBody.data),
    } }),
    "Secrets": async ({ logger, configVars, webhookApiKeys }, params) => {
      const { headers, rawBody } = params.onTrigger.results;
      logger.info(configVars["Connection"], headers, configVars["Plain"]);
      logger.info(JSON.stringify({ configVars, headers, webhookApiKeys }), rawBody);
      console.log("password is " + configVars["Connection"].fields.password);
      return { data: { password: configVars["Connection"].fields.password, apiKey: webhookApiKeys["Secrets"][0] } };
    },
    "Chatter": async (_context, params) => {
      const { name } = params.onTrigger.results.body.data;
      for (let i = 0; i < 5; i++) {
        console.log(name, "says", i);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      process.stdout.write(name + " on stdout\\n");
      return { data: null };
    },
    "Odd Result": async () => {
      const data = { big: 12345678901234567890n, code: function code() {}, bytes: Buffer.from([1, 2, 3]), map: new Map([["a", 1]]) };
      data.self = data;
      Object.defineProperty(data, "broken", { enumerable: true, get() { throw new Error("broken"); } });
      Object.defineProperty(data, "__proto__", { enumerable: true, value: { polluted: true } });
      return { data };
    },
    "Huge Result": async () => ({ data: "x".repeat(500_000_000) }),
    "Endless Log": async ({ logger }) => {
      for (let i = 0; i < 50_000; i++) logger.info("line " + i);
      return { data: null };
    },
    "Throws In Timer": async () => {
      setTimeout(() => { throw new Error("from a timer"); }, 5);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    },
    "Rejects Aside": async () => {
      Promise.reject(new Error("aside"));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    },
    "Invokes": async (context) => context.components.others.act({ list: 2 }),
    "Slow": async () => { await new Promise((resolve) => setTimeout(resolve, 500)); return { data: "slept" }; },
    "Spin Later": async () => { setTimeout(() => { for (;;); }, 800); return { data: null }; },
    "Spin": async ({ logger }) => { logger.info("about to spin"); for (;;); },
    "Exit": async ({ logger }) => { logger.info("about to exit"); process.exit(3); },
    "Fill Heap": async () => { const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length)); },
    "Fill Buffers": async ({ logger }) => {
      logger.info("about to fill");
      const kept = [];
      for (;;) if (kept.length < 30) kept.push(Buffer.alloc(10_000_000, 1));
    },
    "Never": async ({ logger }) => { logger.info("waiting"); await new Promise((resolve) => setTimeout(resolve, 60_000)); },
  };
  const triggers = {
    "Own Trigger": async (_context, payload) => ({
      payload: { ...payload, body: { data: "changed" } },
      response: { statusCode: 202, contentType: "text/plain", headers: { "x-a": 1 }, body: "hi" },
    }),
    "Trigger Throws": async () => { throw new Error("bad signature"); },
  };
  const stableKey = (name) => name.toLowerCase().replaceAll(" ", "-");
  export default integration({
    name: "Test", description: "", version: "1.2.3",
    componentRegistry: { others: { key: "other", public: false, signature: "s", triggers: {}, dataSources: {}, connections: {},
      actions: { act: { key: "show", perform: async () => {}, inputs: { n: { inputType: "string", default: "1" }, list: { inputType: "string" } } } } } },
    flows: [
      ...Object.entries(flows).map(([name, onExecution]) => flow({ name, stableKey: stableKey(name), description: "", onExecution })),
      ...Object.entries(triggers).map(([name, onTrigger]) => flow({
        name, stableKey: stableKey(name), description: "", onTrigger,
        onExecution: async (_context, params) => ({ data: { fromTrigger: params.onTrigger.results.body.data } }),
      })),
    ],
  });
`;

const tutorialYaml = `
definitionVersion: 7
name: Acme ERP
flows:
  - name: Preprocess
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, isPublic: true } }
      - name: Get Customer by Acme ID
        action: { key: runCode, component: { key: code, isPublic: true } }
        inputs:
          code:
            type: value
            value: |
              module.exports = async (context, stepResults) =>
                ({ data: { id: "id-of-" + stepResults.integrationTrigger.results.body.data.customerId } });
      - name: Map Flow Name
        action: { key: runCode, component: { key: code, isPublic: true } }
        inputs:
          code:
            type: value
            value: |
              const flowNamesMap = {
                inventory_update: "Update Inventory",
                create_order: "Create Order",
              };

              module.exports = async ({ logger, configVars }, stepResults) => {
                const customerExternalId = stepResults.getCustomerByAcmeId.results.id;
                const webhookType = stepResults.trigger.results.body.data.type;
                const flowName = flowNamesMap[webhookType];
                return {
                  data: { customerExternalId, flowName },
                };
              };
`;

const inputsYaml = `
definitionVersion: 7
name: Inputs
flows:
  - name: Inputs
    steps:
      - name: Hook
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers } }
      - name: Make
        action: { key: runCode, component: { key: code } }
        inputs:
          code:
            type: value
            value: "module.exports = async (context, steps) => ({ data: { ...steps.hook.results.body.data } })"
      - name: Show
        action: { key: show, component: { key: shown, isPublic: false } }
        inputs:
          reference: { type: reference, value: 'make.results["a.b"][0].c' }
          header: { type: reference, value: hook.results.headers.content-type }
          prototype: { type: reference, value: make.results.constructor.name }
          configVar: { type: configVar, value: Plain }
          template: { type: template, value: 'v={{#Plain}} c={{ make.results["a.b"][0].c }}!{{make.results.none}}' }
          list: { type: complex, value: [{ type: value, value: x }, { type: reference, value: 'make.results["a.b"][0].c' }] }
          pairs: { type: complex, value: [{ name: k, type: configVar, value: Plain }] }
`;

const plainComponentSource = `
  module.exports = { key: "any", actions: { show: {
    inputs: [{ key: "byDefault", default: "d" }],
    perform: async (_context, params) => ({ data: { got: params } }),
  } } };
`;
