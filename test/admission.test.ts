import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { admit } from "../data-plane/admission.ts";
import { admitAtOnce } from "../data-plane/admitAtOnce.ts";
import { createKeyReader } from "../data-plane/authenticate.ts";
import { createEndpoints, type Endpoints } from "../data-plane/endpoints.ts";
import type { IncomingRequest } from "../data-plane/ingress.ts";
import { fairKeyOf } from "../data-plane/journal/entry.ts";
import { keyChecksOfCommands } from "../data-plane/keyChecks.ts";
import { createBodyParser } from "../data-plane/largeBodies.ts";
import { openReplicaReader, type ReplicaReader } from "../data-plane/replica/reader.ts";
import { openReplicaWriter, type ReplicaWriter } from "../data-plane/replica/writer.ts";
import { endpointAt } from "../data-plane/resolve.ts";
import type { FeedChange, InstanceEntity, IntegrationEntity, KeyEntity } from "../shared/feed.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import { keyHmac, newPepper } from "../shared/secrets.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";

/** The short way of the ingress must say what the long way says: `admitAtOnce` beside `admit`. */
const pepper = newPepper();
const keyReader = createKeyReader(pepper);
const parser = createBodyParser();
let folder: string;
let writer: ReplicaWriter;
let reader: ReplicaReader;
let endpoints: Endpoints;
let version = 1;

beforeAll(async () => {
  folder = newTemporaryFolder();
  writer = openReplicaWriter({ folder, warn: () => {} });
  const update = writer.beginSnapshot();
  update.add(world());
  const state = await update.commit({ epoch: "test", version });
  reader = openReplicaReader({ folder, state, withSecrets: false, onDamaged: () => {} });
  endpoints = createEndpoints(reader);
});
afterAll(async () => {
  reader?.close();
  writer?.close();
  await parser.close();
  removeFolder(folder);
});

describe("the short way to an entry", () => {
  test("makes the very entry of the long way, or says nothing; and says yes wherever it can", async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(anyRequest, async (request) => {
        accepted += await compare(request);
      }),
      { numRuns: 4000 },
    );
    // The requests are such that many get through, or the property would say little.
    expect(accepted).toBeGreaterThan(300);
  });

  test("sees each change of what it was compiled from", async () => {
    const tokens = ["routed", "flow-a", "shared", "preprocess", "moved"];
    const all = async () => {
      const verdicts: number[] = [];
      for (const token of tokens) verdicts.push(await compare(requestTo(token)));
      return verdicts;
    };
    expect(await all()).toEqual([1, 1, 1, 1, 0]);
    await apply([instanceChange("one", { isEnabled: false })]);
    expect(await all()).toEqual([0, 1, 1, 1, 0]);
    await apply([instanceChange("one", {}), instanceChange("two", { keys: [keyOf("other")] })]);
    expect(await all()).toEqual([1, 0, 1, 1, 0]);
    await apply([
      instanceChange("one", { keys: [keyOf("other")], token: "moved" }),
      instanceChange("two", {}),
    ]);
    expect(await all()).toEqual([0, 1, 1, 1, 0]);
    await apply([instanceChange("one", { token: "moved" })]);
    expect(await all()).toEqual([0, 1, 1, 1, 1]);
    await apply([instanceChange("one", {}), integrationChange("shared", { token: "gone" })]);
    expect(await all()).toEqual([1, 1, 0, 1, 0]);
    await apply([integrationChange("shared", {}), instanceChange("three", { isEnabled: false })]);
    expect(await all()).toEqual([1, 1, 0, 1, 0]);
    await apply([{ version: ++version, kind: "instance", id: "three", data: null }]);
    expect(await all()).toEqual([1, 1, 0, 1, 0]);
    await apply([instanceChange("three", {})]);
    expect(await all()).toEqual([1, 1, 1, 1, 0]);
  });
});

/** 1 where both say yes; throws where they differ. */
async function compare(request: IncomingRequest): Promise<number> {
  const keyHmacs = keyReader.read(request.apiKey);
  const compiled = endpoints.at(request.token);
  const endpoint = endpointAt(reader, request.token);
  expect(compiled === null).toBe(endpoint === null);
  if (compiled === null || endpoint === null) return 0;
  const short = admitAtOnce(endpoints, { note: () => {} }, compiled, request, keyHmacs);
  const { method, pathFragment, query, headers, remoteAddress, receivedAtMs, requestId, token } = request;
  const long = await admit(reader, parser, {
    executionId: short?.id ?? "",
    endpoint,
    request: {
      method,
      pathFragment,
      query,
      headers,
      keyHmacs: [...keyHmacs],
      remoteAddress,
      receivedAtMs,
      requestId,
      token,
    },
    body: request.body,
    invokeType: endpoint.instance?.entity.isSystem ? "TEST" : "WEBHOOK",
    isDebug: request.isDebug || endpoint.instance?.entity.globalDebug === true,
    replayOf: null,
    invokedBy: null,
    isEndpointTest: false,
    skipsKeys: false,
    keyChecks: keyChecksOfCommands,
    hasSender: true,
  });
  if (!long.ok) {
    expect(short, `refused with ${long.code}`).toBeNull();
    return 0;
  }
  const isForLongWay = request.contentType.startsWith("multipart/") || endpoint.source.rules.customerUser;
  if (isForLongWay) return 0;
  expect(short).not.toBeNull();
  expect(JSON.parse(short!.metaJson)).toEqual(long.meta);
  expect(short).toMatchObject({ fairKey: fairKeyOf(long.meta), isWaiting: long.meta.isWaiting });
  return 1;
}

async function apply(changes: FeedChange[]): Promise<void> {
  const update = writer.beginDelta();
  update.add(changes);
  const state = await update.commit({ epoch: "test", version });
  reader.refresh(state);
  endpoints.refresh(state.changed);
}

function keyOf(text: string, more: Partial<KeyEntity> = {}): KeyEntity {
  return {
    id: `key-${text}`,
    hmac: keyHmac(pepper, text),
    sealed: "",
    expiresAtMs: null,
    revokedAtMs: null,
    ...more,
  };
}

const definitionOf = (head: string) =>
  importDefinition(`
definitionVersion: 7
name: Test
${head}
flows:
  - name: First
    stableKey: first
    acceptedContentTypes: [application/json, "text/*"]
    steps: [{name: T, action: {key: webhook, component: {key: webhook-triggers}}}]
  - name: Second "quoted"
    stableKey: second
    isSynchronous: true
    queueConfig: {usesFifoQueue: true, dedupeIdField: {type: reference, value: onTrigger.results.body.data.customer.id}}
    endpointSecurityType: organization
    steps: [{name: T, action: {key: webhook, component: {key: webhook-triggers}}}]
  - name: Sort
    stableKey: sort
    endpointSecurityType: unsecured
    queueConfig: {concurrencyLimit: 3}
    steps: [{name: T, action: {key: webhook, component: {key: webhook-triggers}}}]
`).definition;

const definitions = {
  routed: definitionOf("endpointType: instance_specific\nflowNameField: results.body.data.flow"),
  flows: definitionOf("endpointType: flow_specific"),
  shared: definitionOf(
    "endpointType: shared_instance\nflowNameField: headers.x-flow\nexternalCustomerIdField: body.data.customer.id",
  ),
  preprocess: definitionOf(
    "endpointType: shared_instance\npreprocessFlowName: Sort\nflowNameField: results.flow\nexternalCustomerIdField: results.customer",
  ),
  users: definitionOf(
    "endpointType: instance_specific\nflowNameField: queryParameters.flow\nexternalCustomerUserIdField: headers.x-user",
  ),
};
type Kind = keyof typeof definitions;

const instanceKinds: Record<string, Kind> = {
  one: "routed",
  two: "flows",
  three: "shared",
  four: "preprocess",
  five: "users",
  system: "routed",
};

interface InstanceFields {
  isEnabled?: boolean;
  keys?: KeyEntity[];
  token?: string;
}

function instanceChange(id: string, { isEnabled = true, keys, token }: InstanceFields): FeedChange {
  const kind = instanceKinds[id]!;
  const own = keys ?? [
    keyOf("good"),
    keyOf("revoked", { revokedAtMs: 1 }),
    keyOf("expired", { expiresAtMs: 1 }),
  ];
  const flow = (name: string, flowKeys: KeyEntity[]) => ({
    flowId: `${id}-${name}-flow`,
    flowConfigId: `${id}-${name}`,
    token: id === "two" && name === "first" ? "flow-a" : `${id}-${name}`,
    keys: flowKeys,
    allowedAddresses: [],
  });
  const data: InstanceEntity = {
    id,
    name: id,
    integrationId: kind,
    integrationName: kind,
    isSystem: id === "system",
    isEnabled,
    globalDebug: id === "two",
    versionId: `version-${kind}`,
    versionNumber: 2,
    definitionDigest: kind,
    customer: { id: `customer-${id}`, externalId: id, name: id, users: [] },
    token: token ?? (id === "one" ? "routed" : id),
    allowedAddresses: [],
    flows: { first: flow("first", own), second: flow("second", []), sort: flow("sort", []) },
    sealedConfigVars: "",
  };
  return { version: ++version, kind: "instance", id, data };
}

function integrationChange(kind: Kind, { token = kind as string }): FeedChange {
  const isShared = kind === "shared" || kind === "preprocess";
  const data: IntegrationEntity = {
    id: kind,
    name: kind,
    token: isShared ? token : `unused-${kind}`,
    shared: isShared ? { definitionDigest: kind, versionId: `version-${kind}`, versionNumber: 2 } : null,
    systemInstanceId: "system",
    organizationKeys: { second: [keyOf("organization")] },
    allowedAddresses: [],
  };
  return { version: ++version, kind: "integration", id: kind, data };
}

function world(): FeedChange[] {
  return [
    ...Object.entries(definitions).map(
      ([id, data]): FeedChange => ({ version: ++version, kind: "definition", id, data }),
    ),
    ...Object.keys(definitions).map((kind) => integrationChange(kind as Kind, {})),
    ...Object.keys(instanceKinds).map((id) => instanceChange(id, { isEnabled: id !== "system" })),
  ];
}

function requestTo(token: string, more: Partial<IncomingRequest> = {}): IncomingRequest {
  const request: IncomingRequest = {
    method: "POST",
    token,
    pathFragment: "",
    query: "",
    headers: [["x-flow", "First"]],
    apiKey: "good",
    contentType: "application/json",
    contentEncoding: "",
    invokeType: "",
    isDebug: false,
    remoteAddress: "192.0.2.1",
    requestId: 'a"b\\c',
    hasOwnId: false,
    receivedAtMs: Date.now(),
    body: Buffer.from('{"flow":"First","customer":{"id":"three"}}'),
    known: null,
    ...more,
  };
  const type: [string, string][] = request.contentType === "" ? [] : [["content-type", request.contentType]];
  return { ...request, headers: [...request.headers, ...type] };
}

const flowNames = ["First", 'Second "quoted"', "Sort", "first", ""];
const anyBody = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...flowNames).chain(bodyNaming) },
  fc.constantFrom("", "{", "[1]", '{"flow":1}', '{"flow":"First"', "\ufeff{}", "flow=First"),
  fc.json(),
);
function bodyNaming(flow: string): fc.Arbitrary<string> {
  return fc.constantFrom("three", "four", "nobody").map((id) => JSON.stringify({ flow, customer: { id } }));
}
const anyHeader = fc.oneof(
  fc.tuple(fc.constant("x-flow"), fc.constantFrom(...flowNames)),
  fc.tuple(fc.constantFrom("x-user", "x-other"), fc.string()),
  fc.tuple(fc.constant("prismatic-synchronous"), fc.constantFrom("true", "false", "x")),
);
const anyRequest = fc
  .record({
    token: fc.constantFrom(
      ...["routed", "flow-a", "two-second", "two-sort", "shared", "preprocess", "five"],
      ...["system", "system-first", "one-sort", "nowhere"],
    ),
    method: fc.constantFrom("POST", "GET", "PUT"),
    pathFragment: fc.oneof(fc.constant(""), fc.webPath()),
    query: fc.oneof(fc.constant(""), fc.constantFrom("flow=First", "flow=First&flow=First"), fc.string()),
    headers: fc.array(anyHeader, { maxLength: 4 }),
    apiKey: fc.constantFrom(
      ...["good", "good", "organization", "revoked", "expired", "wrong", "wrong, good", "good,organization"],
      ...["", undefined],
    ),
    contentType: fc.constantFrom(
      ...["application/json", "application/json", "application/json; charset=utf-8", "text/plain", ""],
      ...["application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    ),
    isDebug: fc.boolean(),
    body: anyBody.map((text) => Buffer.from(text)),
  })
  .map(({ token, ...fields }) => requestTo(token, fields));
