/** What the crash rounds send webhooks to: planes with one integration of each kind, and what is asked of them. */
import { graphql } from "../support/graphql.ts";
import type { Ledger } from "../support/ledger.ts";
import type { TestPlanes } from "../support/planes.ts";
import { publishAndDeploy } from "../support/publishAndDeploy.ts";
import type { Random } from "../support/random.ts";

/** What a webhook must have left behind once all is over. */
export type Expectation =
  | { kind: "execution"; status: "SUCCEEDED"; errorCodes: null }
  /** One of these codes is its reason. */
  | { kind: "execution"; status: "FAILED"; errorCodes: string[] }
  | { kind: "rejection"; code: string };

export interface Shot {
  url: string;
  body: Record<string, unknown>;
  headers: Record<string, string>;
  /** The answers that may come while all is well, each with what follows from it. */
  answers: Record<number, Expectation>;
}

export type Death = "exit" | "heap" | "spin";

export interface Site {
  planes: TestPlanes;
  ledger: Ledger;
  integrationIds: string[];
  /** The shots of an ordinary load, in the mix in which they are sent. */
  shot(random: Random): Shot;
  /** Routed by its body to a flow of another instance than the others', with a key. */
  routed(): Shot;
  /** A run that lasts as long as said. */
  lasting(waitMs: number): Shot;
  /** The same by the shared URL, whose preprocess flow is quick. */
  sharedLasting(waitMs: number): Shot;
  /** A large body, which fills the journal's segments quickly. */
  bulky(bytes: number): Shot;
  /** A run that takes its thread down, in whatever way. */
  deadly(random: Random): Shot;
  deadlyBy(death: Death): Shot;
}

const customer = "crash-a";
const succeeds: Expectation = { kind: "execution", status: "SUCCEEDED", errorCodes: null };
const fails = (...errorCodes: string[]): Expectation => ({ kind: "execution", status: "FAILED", errorCodes });

export async function openSite(planes: TestPlanes, ledger: Ledger): Promise<Site> {
  const kinds = await publishAndDeploy(planes, "crash-kinds", [customer, "crash-paused"]);
  const keyed = await publishAndDeploy(planes, "crash-routed", [customer]);
  const dispatched = await publishAndDeploy(planes, "crash-shared", [customer]);
  await pause(planes, kinds.instances["crash-paused"]!.instanceId);
  const key = await newKey(planes, keyed.instances[customer]!.instanceId, "stock.counted");
  const urls = kinds.instances[customer]!.webhookUrls;
  const routedUrl = Object.values(keyed.instances[customer]!.webhookUrls)[0]!;
  const sharedUrl = Object.values(dispatched.instances[customer]!.webhookUrls)[0]!;
  const pausedUrl = kinds.instances["crash-paused"]!.webhookUrls["Echo"]!;

  const shotAt = (
    url: string,
    body: Record<string, unknown>,
    answers: Record<number, Expectation>,
    headers: Record<string, string> = {},
  ): Shot => ({ url, body: { ledger: ledger.file, ...body }, answers, headers });
  const routed = (): Shot =>
    shotAt(routedUrl, { event: "stock.counted" }, { 200: succeeds }, { "Api-Key": key });
  const shared = (more: Record<string, unknown> = {}): Shot =>
    shotAt(sharedUrl, { tenant: `tenant:${customer}`, topic: "delivery.sent", ...more }, { 200: succeeds });
  const deadlyBy = (death: Death): Shot =>
    shotAt(
      urls["Deadly"]!,
      { death },
      { 200: fails(death === "spin" ? "RUN_BLOCKED_THREAD" : "RUN_KILLED_THREAD") },
    );
  const shots: ((random: Random) => Shot)[] = [
    () => shotAt(urls["Echo"]!, {}, { 200: succeeds }),
    () => shotAt(urls["Echo"]!, {}, { 200: succeeds }),
    (random) => shotAt(urls["Slow"]!, { waitMs: random.whole(10, 250) }, { 200: succeeds }),
    routed,
    routed,
    () =>
      shotAt(
        routedUrl,
        { event: "stock.lost" },
        { 422: { kind: "rejection", code: "FLOW_NOT_FOUND" } },
        { "Api-Key": key },
      ),
    () => shared(),
    () => shared(),
    () =>
      shotAt(
        sharedUrl,
        { tenant: "tenant:nobody", topic: "delivery.sent" },
        // 200 where the routing took longer than its sender waits.
        { 422: fails("CUSTOMER_NOT_FOUND"), 200: fails("CUSTOMER_NOT_FOUND") },
      ),
    () =>
      shotAt(
        sharedUrl,
        { fail: "the lookup is out of order" },
        { 422: fails("PREPROCESS_FAILED"), 200: fails("PREPROCESS_FAILED") },
      ),
    () => shotAt(urls["Synchronous"]!, {}, { 200: succeeds, 504: succeeds }),
    () => shotAt(urls["Synchronous"]!, { waitMs: 700 }, { 200: succeeds, 504: succeeds }),
    () => shotAt(pausedUrl, {}, { 409: { kind: "rejection", code: "INSTANCE_PAUSED" } }),
  ];
  return {
    planes,
    ledger,
    integrationIds: [kinds, keyed, dispatched].map(({ version }) => version.integrationId),
    shot: (random) => random.pick(shots)(random),
    routed,
    lasting: (waitMs) => shotAt(urls["Slow"]!, { waitMs }, { 200: succeeds }),
    sharedLasting: (waitMs) => shared({ waitMs }),
    bulky: (bytes) => shotAt(urls["Echo"]!, { filling: "x".repeat(bytes) }, { 200: succeeds }),
    // Not by spinning: how long that takes to be found would be most of a round, and has a test of its own.
    deadly: (random) => deadlyBy(random.pick(["exit", "exit", "exit", "heap"] as const)),
    deadlyBy,
  };
}

/**
 * Settings under which a round is short: senders do not wait long, and a heap is full soon. A machine that is
 * busy with several such tests at once may not look like a thread that is blocked.
 */
export const siteSettings = {
  SWITCHYARD_RUN_THREADS: "2",
  SWITCHYARD_SYNCHRONOUS_TIMEOUT_MS: "400",
  SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "30000",
  SWITCHYARD_RUN_MEMORY_MB: "80",
  // Rounds take run threads down again and again: what is held back for it would be recorded minutes later.
  SWITCHYARD_THREAD_DEATHS_MAX: "0",
};

async function pause(planes: TestPlanes, instanceId: string): Promise<void> {
  const { updateInstance } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `mutation ($id: ID!) { updateInstance(input: { id: $id, enabled: false }) { errors { messages } } }`,
    { id: instanceId },
  );
  if (updateInstance.errors.length > 0) throw new Error(JSON.stringify(updateInstance.errors));
}

async function newKey(planes: TestPlanes, instanceId: string, flowName: string): Promise<string> {
  const { instance } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id flow { name } } } } }`,
    { id: instanceId },
  );
  const flowConfig = instance.flowConfigs.nodes.find(
    (config: { flow: { name: string } }) => config.flow.name === flowName,
  ).id;
  const { createApiKey } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { key errors { messages } } }`,
    { input: { flowConfig, name: "of the crash rounds" } },
  );
  if (createApiKey.errors.length > 0) throw new Error(JSON.stringify(createApiKey.errors));
  return createApiKey.key;
}
