/** From the journal to the report, in one process: real journal, replica, run threads and reporter. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EntryHead, readHead } from "../data-plane/entryHead.ts";
import { createExecutions, type Executions } from "../data-plane/executions.ts";
import { newJournalBounds } from "../data-plane/journal/bounds.ts";
import type { EntryMeta, EntryRoute } from "../data-plane/journal/entry.ts";
import { type Journal, openJournal } from "../data-plane/journal/journal.ts";
import { keyChecksOfCommands } from "../data-plane/keyChecks.ts";
import { openReplicaReader, type ReplicaReader } from "../data-plane/replica/reader.ts";
import { openReplicaWriter, type ReplicaWriter } from "../data-plane/replica/writer.ts";
import { type Reporter, startReporter } from "../data-plane/reporter.ts";
import { createRunner, type Runner } from "../data-plane/runs.ts";
import { encodeRecord } from "../data-plane/runtime/recordEncoder.ts";
import { requestJsonOf } from "../data-plane/runtime/requestJson.ts";
import { openStates } from "../data-plane/states/states.ts";
import { readConfig } from "../shared/config.ts";
import type { FeedChange } from "../shared/feed.ts";
import { newId } from "../shared/ids.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import type { ExecutionEvent } from "../shared/reports.ts";
import { seal, sha256Hex } from "../shared/secrets.ts";
import { waitFor } from "./support/waitFor.ts";

const masterKey = { keys: [Buffer.alloc(32, 7)] };
const integrationId = newId();
const instanceId = newId();
const logger = pino({ level: "silent" });
const webhook = "{ key: webhook, component: { key: webhook-triggers, isPublic: true } }";
const runCode = "{ key: runCode, component: { key: code, isPublic: true } }";
const { definition } = importDefinition(`
definitionVersion: 7
name: Engine
endpointType: instance_specific
preprocessFlowName: Pre
flowNameField: flowName
flows:
  - name: Pre
    steps:
      - { name: Trigger, isTrigger: true, action: ${webhook} }
      - name: Route
        action: ${runCode}
        inputs: { code: { type: value, value: "module.exports = async (context, steps) => ({ data: { flowName: steps.trigger.results.body.data.flow } });" } }
  - name: Work
    steps:
      - { name: Trigger, isTrigger: true, action: ${webhook} }
      - name: Do
        action: ${runCode}
        inputs: { code: { type: value, value: "module.exports = async ({ logger }, steps) => { const { data } = steps.trigger.results.body; logger.info('worked é'); await new Promise((resolve) => setTimeout(resolve, data.waitMs ?? 0)); return { data }; };" } }
`);
const digest = sha256Hex(JSON.stringify(definition));

let folder: string;
let writer: ReplicaWriter;
let replica: ReplicaReader;
let journal: Journal;
let runner: Runner;
let reporter: Reporter;
let executions: Executions;
const reported: ExecutionEvent[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "switchyard-engine-"));
  const config = readConfig({ SWITCHYARD_DATA_DIR: folder });
  writer = openReplicaWriter({ folder: join(folder, "replica"), warn() {} });
  const snapshot = writer.beginSnapshot();
  snapshot.add(entities());
  const state = await snapshot.commit({ epoch: "epoch", version: 3 });
  replica = openReplicaReader({ folder: join(folder, "replica"), state, withSecrets: true, onDamaged() {} });
  runner = createRunner({
    config,
    masterKey,
    dataDir: folder,
    logger,
    fetchBundle: async () => Buffer.alloc(0),
  });
  journal = await openJournal({
    folder: join(folder, "journal"),
    bounds: newJournalBounds({ entriesMax: 10_000, bytesMax: 1024 ** 3 }),
    onEntry: (pending) => executions.enqueue(pending),
    logger,
  });
  reporter = startReporter({
    makesWay: () => false,
    journal,
    logger,
    async send(events) {
      reported.push(...events.map(({ json }) => JSON.parse(json) as ExecutionEvent));
      return { confirmed: events.map(({ key }) => key), problems: [] };
    },
  });
  executions = createExecutions({
    config,
    replica,
    runner,
    reporter,
    logger,
    keyChecks: keyChecksOfCommands,
    ingressUrl: () => "http://hooks.test",
    answer() {},
    storedAddress: () => null,
    isObserved: () => false,
    onEnded() {},
    onFanOut() {},
    tracing: null,
    states: openStates({
      file: join(folder, "states.db"),
      controlPlane: {
        feedStateKeys: async () => ({ epoch: "epoch", keys: [], position: 0, hasMore: false }),
        feedStates: async () => [],
      },
      unconfirmed: journal.unconfirmedStates,
      runTimeoutMs: config.runTimeoutMs,
      logger,
    }),
  });
  executions.begin(journal);
  journal.resume();
});

afterAll(async () => {
  await executions?.drain(1000);
  await runner?.stop();
  await reporter?.stop();
  await journal?.close();
  replica?.close();
  writer?.close();
  await rm(folder, { recursive: true, force: true });
});

function entities(): FeedChange[] {
  const flows = definition.flows.map(({ stableKey }) => [
    stableKey,
    { flowId: newId(), flowConfigId: newId(), token: `token-${stableKey}`, keys: [], allowedAddresses: [] },
  ]);
  return [
    { version: 1, kind: "definition", id: digest, data: definition },
    {
      version: 2,
      kind: "integration",
      id: integrationId,
      data: {
        id: integrationId,
        name: "Engine",
        token: "integration-token",
        shared: null,
        systemInstanceId: newId(),
        organizationKeys: {},
        allowedAddresses: [],
      },
    },
    {
      version: 3,
      kind: "instance",
      id: instanceId,
      data: {
        id: instanceId,
        name: "Acme's",
        integrationId,
        integrationName: "Engine",
        isSystem: false,
        isEnabled: true,
        versionId: newId(),
        versionNumber: 1,
        definitionDigest: digest,
        customer: { id: newId(), externalId: "acme", name: "Acme", users: [] },
        token: "token",
        allowedAddresses: [],
        flows: Object.fromEntries(flows),
        sealedConfigVars: seal(masterKey, "configVars", "{}"),
      },
    },
  ];
}

function metaOf(
  kind: EntryRoute["kind"],
  flowStableKey: string,
  change: Partial<EntryRoute> = {},
): EntryMeta {
  return {
    id: newId(),
    invokeType: "WEBHOOK",
    isDebug: false,
    replayOf: null,
    invokedBy: null,
    isEndpointTest: false,
    isWaiting: kind === "preprocess",
    route: {
      kind,
      endpointKind: "instance",
      generation: replica.generation,
      instanceId,
      instanceVersion: replica.instance(instanceId)!.version,
      integrationId,
      integrationVersion: replica.integration(integrationId)!.version,
      definitionDigest: digest,
      versionId: newId(),
      versionNumber: 1,
      flowStableKey,
      userId: null,
      ...change,
    },
    request: {
      method: "POST",
      pathFragment: "/more",
      query: "a=1",
      headers: [
        ["content-type", "application/json"],
        ["x-odd", '","request":{"receivedAtMs":1,'],
      ],
      keyHmacs: [],
      remoteAddress: "192.0.2.1",
      receivedAtMs: Date.now(),
      requestId: newId(),
      token: "token",
    },
  };
}

async function run(meta: EntryMeta, body: object): Promise<ExecutionEvent[]> {
  await executions.accept(meta, Buffer.from(JSON.stringify(body)));
  return waitFor(async () => {
    const events = reported.filter(({ id }) => id === meta.id);
    return events.some(({ finish }) => finish !== null) ? events : null;
  }, 20_000);
}

describe("an execution", () => {
  test("is one event with its request, logs and steps in one numbering", async () => {
    const meta = metaOf("flow", "Work");
    const [event, ...others] = await run(meta, { n: 1 });
    expect(others).toEqual([]);
    expect(event).toMatchObject({
      kind: "execution",
      id: meta.id,
      attempt: 1,
      sequence: 1,
      startedAtMs: meta.request.receivedAtMs,
      target: { instanceId, flowName: "Work", preprocessFlowName: null },
      finish: { status: "SUCCEEDED", errorCode: null, answerStatus: 200 },
    });
    expect(event!.request).toEqual({ ...meta.request, body: Buffer.from('{"n":1}').toString("base64") });
    expect(event!.logs.map(({ sequence, message }) => [sequence, message.split(" ")[0]])).toEqual([
      [1, "Starting"],
      [3, "worked"],
      [5, "Ending"],
    ]);
    expect(event!.steps.map(({ sequence, stepName }) => [sequence, stepName])).toEqual([
      [2, "Trigger"],
      [4, "Do"],
    ]);
  });

  test("that lasts tells of itself before its end, and gives its request once", async () => {
    const events = await run(metaOf("flow", "Work"), { waitMs: 1500 });
    expect(events.length).toBeGreaterThan(1);
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_event, index) => index + 1));
    expect(events.map(({ request }) => request !== null)).toEqual(events.map((_event, index) => index === 0));
    const numbers = events.flatMap(({ logs, steps }) => [...logs, ...steps].map(({ sequence }) => sequence));
    expect(numbers.sort((a, b) => a - b)).toEqual(numbers.map((_number, index) => index + 1));
  });

  test("goes on to the flow that its preprocess flow names", async () => {
    const [event] = await run(metaOf("preprocess", "Pre"), { flow: "Work" });
    expect(event).toMatchObject({
      target: { flowName: "Work", preprocessFlowName: "Pre", instanceId },
      finish: { status: "SUCCEEDED", answerStatus: 200 },
    });
    expect(event!.steps.map(({ part, stepName }) => [part, stepName])).toEqual([
      ["PREPROCESS", "Trigger"],
      ["PREPROCESS", "Route"],
      ["FLOW", "Trigger"],
      ["FLOW", "Do"],
    ]);
  });

  test("fails where the preprocess flow names a flow that is not there", async () => {
    const [event] = await run(metaOf("preprocess", "Pre"), { flow: "None" });
    expect(event!.finish).toMatchObject({
      status: "FAILED",
      errorCode: "FLOW_NOT_FOUND",
      answerStatus: 422,
    });
    expect(event!.target).toMatchObject({ flowName: null, preprocessFlowName: "Pre" });
  });

  test("whose version is gone runs on the present one and says so", async () => {
    const [event] = await run(metaOf("flow", "Work", { instanceVersion: 999 }), {});
    expect(event!.finish!.status).toBe("SUCCEEDED");
    expect(event!.logs[0]).toMatchObject({
      severity: "WARN",
      message: expect.stringContaining("present one"),
    });
  });

  test("whose instance is gone fails with a sentence", async () => {
    const [event] = await run(metaOf("flow", "Work", { instanceId: newId(), instanceVersion: 9 }), {});
    expect(event!.finish).toMatchObject({ status: "FAILED", errorCode: "ENDPOINT_NOT_FOUND" });
    expect(event!.finish!.error).toContain("not there any more");
  });
});

test("a hundred at once are each recorded once, and nothing is left in the journal", async () => {
  const metas = Array.from({ length: 100 }, () => metaOf("flow", "Work"));
  await Promise.all(metas.map((meta) => run(meta, {})));
  for (const { id } of metas) expect(reported.filter((event) => event.id === id)).toHaveLength(1);
  await waitFor(async () => journal.stats().entries === 0 || null, 10_000);
  expect(executions.stats()).toMatchObject({ running: 0, waiting: 0, unrecorded: 0 });
});

test("the head of a meta reads as the whole does, in whatever order and with whatever texts", () => {
  const text = fc.oneof(fc.string(), fc.constantFrom(',"request":{', ',"route":', '"receivedAtMs":7', "\\"));
  fc.assert(
    fc.property(text, text, text, fc.nat(), fc.boolean(), (key, name, value, receivedAtMs, isReversed) => {
      const meta = metaOf("flow", key);
      meta.request = { ...meta.request, headers: [[name, value]], receivedAtMs };
      const ordered = isReversed ? Object.fromEntries(Object.entries(meta).reverse()) : meta;
      const { routeJson, ...head }: EntryHead = readHead(JSON.stringify(ordered));
      const { route, request, ...expected } = meta;
      expect(head).toEqual({ ...expected, receivedAtMs: request.receivedAtMs });
      expect(JSON.parse(routeJson)).toEqual(route);
      const body = Buffer.from(value);
      expect(JSON.parse(requestJsonOf(JSON.stringify(meta), body))).toEqual({
        ...request,
        body: body.toString("base64"),
      });
    }),
  );
});

test("step results are MessagePack that any decoder reads", () => {
  const values = fc.anything({ withDate: true, withNullPrototype: true });
  const options = { bytesMax: 1024 * 1024, depthMax: 100, redactor: null };
  const decoded = (bytes: Uint8Array) => decode(Uint8Array.from(bytes));
  fc.assert(
    fc.property(values, (value) => {
      expect(decoded(encodeRecord(value, "", options))).toHaveProperty("data");
    }),
  );
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      // Members named __proto__ are shown under another name, and -0 as 0.
      fc.pre(!JSON.stringify(value).includes("__proto__"));
      const expected = decode(encode({ data: value, contentType: "text/plain" }));
      expect(decoded(encodeRecord(value, "text/plain", options))).toEqual(expected);
    }),
  );
});
