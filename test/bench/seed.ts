/**
 * Many customers in a data folder in seconds. One instance of each kind is published and deployed through the
 * API; then its rows are cloned with new ids, tokens and keys, and with feed versions as the API numbers them.
 * `checkSeed` asks the API and the data plane whether they take the clones for real ones.
 */
import { join } from "node:path";
import { openStore } from "../../control-plane/store/store.ts";
import { newId, newSecret, newUrlToken, parseNodeId, toNodeId } from "../../shared/ids.ts";
import type { Api } from "../../shared/scripts/apiClient.ts";
import {
  keyHmac,
  keyLast4,
  keyPrefix,
  loadMasterKey,
  type MasterKey,
  masterKeyFile,
  type Pepper,
  seal,
} from "../../shared/secrets.ts";
import { openSqlite, type Sqlite } from "../../shared/sqlite.ts";
import { graphql } from "../support/graphql.ts";
import { deployTo, publishFixture } from "../support/publishAndDeploy.ts";
import { startControlPlane } from "./planes.ts";
import type { Target } from "./requests.ts";

/** Which endpoints there are, by what is sent to them. */
export interface Seed {
  /** Instance-specific, the body names the flow, a key each. */
  body: Target[];
  /** One URL; the preprocess flow finds the customer. */
  shared: Target[];
  /** Flow-specific, unsecured. */
  flow: Target[];
  /** Flow-specific, unsecured, synchronous. */
  synchronous: Target[];
  /** Some of `body`, spread over all of them, with the node ids of their instances. */
  samples: { instanceId: string; target: Target }[];
}

export interface SeedPlan {
  dataDir: string;
  /** How many endpoints of the kind that is measured most. */
  endpoints: number;
  /** How many of each other kind; at most `endpoints`. */
  others: number;
}

type Row = Record<string, string | number | null>;
const externalIdOf = (index: number): string => `bench-${String(index).padStart(7, "0")}`;
const samplesMost = 50;

export async function seed({ dataDir, endpoints, others }: SeedPlan): Promise<Seed> {
  const first = await deployFirst(dataDir);
  const masterKey = loadMasterKey({ given: undefined, file: masterKeyFile(dataDir), mayCreate: false });
  const store = await openStore(dataDir, masterKey);
  const { pepper } = store;
  await store.close();
  const database = openSqlite(join(dataDir, "control", "config.db"), { synchronous: "off", cacheMb: 256 });
  try {
    return database.transaction(() => clone(database, { first, endpoints, others, masterKey, pepper }))();
  } finally {
    database.pragma("wal_checkpoint(TRUNCATE)");
    database.close();
  }
}

interface First {
  body: string;
  shared: string;
  flow: string;
  key: string;
}

/** Publishes each kind and deploys it to the first customer, as everybody does. */
async function deployFirst(dataDir: string): Promise<First> {
  const control = await startControlPlane(dataDir);
  try {
    const instanceIds: string[] = [];
    for (const fixture of ["bench-body", "bench-shared", "bench-flow"]) {
      const version = await publishFixture(control, fixture);
      const { instanceId } = await deployTo(control, version, externalIdOf(0));
      instanceIds.push(instanceId);
    }
    const [body = "", shared = "", flow = ""] = instanceIds;
    const { instance } = await graphql(
      control.api.url,
      control.api.token,
      "query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id } } } }",
      { id: body },
    );
    const { createApiKey } = await graphql(
      control.api.url,
      control.api.token,
      "mutation ($id: ID!) { createApiKey(input: { flowConfig: $id }) { key errors { messages } } }",
      { id: instance.flowConfigs.nodes[0].id },
    );
    const idOf = (nodeId: string): string => parseNodeId(nodeId)!.id;
    return { body: idOf(body), shared: idOf(shared), flow: idOf(flow), key: createApiKey.key };
  } finally {
    await control.plane.stop();
  }
}

interface ClonePlan {
  first: First;
  endpoints: number;
  others: number;
  masterKey: MasterKey;
  pepper: Pepper;
}

function clone(database: Sqlite, plan: ClonePlan): Seed {
  const { first, endpoints, others } = plan;
  const cloner = createCloner(database, plan);
  const { token: sharedToken } = cloner.integrationOf(first.shared);
  const bodyIds = [first.body];
  const seeded: Seed = { body: [], shared: [], flow: [], synchronous: [], samples: [] };
  for (let index = 0; index < endpoints; index++) {
    const customer = externalIdOf(index);
    const customerId = index === 0 ? null : cloner.cloneCustomer(first.body, index);
    const make = (instanceId: string): Cloned =>
      customerId === null
        ? cloner.asItIs(instanceId, first.key)
        : cloner.cloneInstance(instanceId, customerId);
    const body = make(first.body);
    bodyIds[index] = body.id;
    seeded.body.push({ path: `/trigger/${body.token}`, key: body.key, customer });
    if (index >= others) continue;
    make(first.shared);
    seeded.shared.push({ path: `/trigger/${sharedToken}`, key: "-", customer });
    const { flowTokens } = make(first.flow);
    seeded.flow.push({ path: `/trigger/${flowTokens["quiet"]}`, key: "-", customer });
    seeded.synchronous.push({ path: `/trigger/${flowTokens["answering"]}`, key: "-", customer });
  }
  cloner.finish();
  const step = Math.max(1, Math.floor(endpoints / samplesMost));
  seeded.samples = bodyIds.flatMap((id, index) =>
    index % step === 0 ? [{ instanceId: toNodeId("Instance", id), target: seeded.body[index]! }] : [],
  );
  return seeded;
}

interface Cloned {
  id: string;
  token: string;
  /** The first key of its first flow with one, or "-". */
  key: string;
  flowTokens: Record<string, string>;
}

function createCloner(database: Sqlite, { masterKey, pepper }: Pick<ClonePlan, "masterKey" | "pepper">) {
  const rowOf = (table: string, column: string, value: string): Row =>
    database.prepare(`SELECT * FROM ${table} WHERE ${column} = ?`).get(value) as Row;
  const rowsOf = (table: string, column: string, value: string): Row[] =>
    database.prepare(`SELECT * FROM ${table} WHERE ${column} = ?`).all(value) as Row[];
  const inserts = new Map<string, (row: Row) => void>();
  const insert = (table: string, row: Row): void => {
    let statement = inserts.get(table);
    if (statement === undefined) {
      const columns = Object.keys(row);
      const prepared = database.prepare(
        `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
      );
      statement = (values) => prepared.run(columns.map((column) => values[column]!));
      inserts.set(table, statement);
    }
    statement(row);
  };
  /** What an instance is made of, read once. */
  const templates = new Map<string, { instance: Row; customer: Row; configs: Row[]; keys: Row[] }>();
  const templateOf = (id: string) => {
    let template = templates.get(id);
    if (template === undefined) {
      const instance = rowOf("instances", "id", id);
      template = {
        instance,
        customer: rowOf("customers", "id", String(instance["customerId"])),
        configs: rowsOf("instanceFlowConfigs", "instanceId", id),
        keys: rowsOf("apiKeys", "ownerId", id),
      };
      templates.set(id, template);
    }
    return template;
  };
  let version = Number(rowOf("meta", "key", "feedVersion")["value"]);
  const cloneKey = (template: Row, ownerId: string): string => {
    const key = newSecret("swk_");
    insert("apiKeys", {
      ...template,
      id: newId(),
      ownerId,
      hmac: keyHmac(pepper, key),
      sealed: seal(masterKey, "apiKey", key),
      prefix: keyPrefix(key),
      last4: keyLast4(key),
    });
    return key;
  };
  return {
    integrationOf(instanceId: string): { token: string } {
      const { instance } = templateOf(instanceId);
      return { token: String(rowOf("integrations", "id", String(instance["integrationId"]))["token"]) };
    },
    asItIs(instanceId: string, key: string): Cloned {
      const { instance, configs, keys } = templateOf(instanceId);
      const flowTokens = Object.fromEntries(
        configs.map((row) => [String(row["stableKey"]), String(row["token"])]),
      );
      return {
        id: instanceId,
        token: String(instance["token"]),
        key: keys.length > 0 ? key : "-",
        flowTokens,
      };
    },
    cloneCustomer(instanceId: string, index: number): string {
      const externalId = externalIdOf(index);
      const row = {
        ...templateOf(instanceId).customer,
        id: newId(),
        externalId,
        name: `Customer ${externalId}`,
      };
      insert("customers", row);
      return row.id;
    },
    cloneInstance(instanceId: string, customerId: string): Cloned {
      const { instance, configs, keys } = templateOf(instanceId);
      const id = newId();
      const token = newUrlToken();
      insert("instances", { ...instance, id, customerId, token });
      const flowTokens: Record<string, string> = {};
      for (const config of configs) {
        const flowToken = newUrlToken();
        insert("instanceFlowConfigs", { ...config, id: newId(), instanceId: id, token: flowToken });
        flowTokens[String(config["stableKey"])] = flowToken;
      }
      const keyTexts = keys.map((row) => cloneKey(row, id));
      version += 1;
      insert("feedEntities", { kind: "instance", id, version });
      return { id, token, key: keyTexts[0] ?? "-", flowTokens };
    },
    finish(): void {
      database.prepare("UPDATE meta SET value = ? WHERE key = 'feedVersion'").run(String(version));
    },
  };
}

/** Throws where the API or the data plane does not take a clone for a deployed instance with a key. */
export async function checkSeed(
  { samples }: Seed,
  planes: { api: Api; ingressUrl: string },
  body: string,
): Promise<void> {
  const post = async (target: Target, key: string): Promise<{ status: number; text: string }> => {
    const answer = await fetch(planes.ingressUrl + target.path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Api-Key": key },
      body: body.replace("%CUSTOMER%", target.customer),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const refuse = (what: string): never => {
    throw new Error(`The seeded endpoints are not taken for real ones: ${what}.`);
  };
  for (const { target, instanceId } of samples) {
    const right = await post(target, target.key);
    if (right.status !== 200) refuse(`${target.path} answered ${right.status} to its own key: ${right.text}`);
    const wrong = await post(target, newSecret("swk_"));
    if (wrong.status !== 401) refuse(`${target.path} answered ${wrong.status} to another key: ${wrong.text}`);
    const { instance } = await graphql(
      planes.api.url,
      planes.api.token,
      "query ($id: ID!) { instance(id: $id) { needsDeploy flowConfigs { nodes { keys { totalCount } } } } }",
      { id: instanceId },
    );
    if (instance?.needsDeploy !== false) refuse(`instance ${instanceId} is not deployed for the API`);
    if (instance.flowConfigs.nodes[0]?.keys.totalCount !== 1) refuse(`${instanceId} has no key for the API`);
  }
}
