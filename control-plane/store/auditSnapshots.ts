/**
 * What the audit log keeps of an object before and after a change. Columns are listed, not left out: a column
 * that holds a secret can't get in by being new.
 */
import { maskKey } from "../../shared/secrets.ts";
import type { InsertedRow } from "./insertedRows.ts";
import type { ConfigDatabase, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export interface Snapshot {
  /** The object's shown columns, readable; null where it is not there. */
  shown: Record<string, unknown> | null;
  /** The customer that it belongs to. */
  customerId: string | null;
}

const shownColumns = {
  customers: ["externalId", "name", "description", "labelsJson"],
  users: ["customerId", "email", "name", "externalId", "phone", "role"],
  integrations: [
    "name",
    "description",
    "category",
    "labelsJson",
    "customerId",
    "draftDigest",
    "allowedAddressesJson",
  ],
  versions: ["integrationId", "number", "definitionDigest", "comment", "isAvailable"],
  components: ["key", "versionNumber", "label", "customerId", "comment", "status", "refusal", "digest"],
  instances: [
    "integrationId",
    "customerId",
    "versionId",
    "deployedVersionId",
    "deployedAtMs",
    "name",
    "description",
    "labelsJson",
    "enabled",
    "globalDebug",
    "needsDeploy",
    "allowedAddressesJson",
  ],
  instanceFlowConfigs: ["instanceId", "stableKey", "allowedAddressesJson"],
  userLevelConfigs: ["instanceId", "userId", "updatedAtMs"],
  apiKeys: [
    "ownerType",
    "ownerId",
    "stableKey",
    "name",
    "prefix",
    "last4",
    "createdAtMs",
    "createdBy",
    "expiresAtMs",
    "revokedAtMs",
    "rotatedFromId",
  ],
  tokens: ["role", "userId", "name", "createdAtMs", "expiresAtMs", "revokedAtMs"],
  signingKeys: ["publicKey", "isImported", "createdAtMs", "createdBy"],
} as const satisfies { [Table in keyof ConfigTables]?: readonly (keyof ConfigTables[Table])[] };

type ShownTable = keyof typeof shownColumns;

/** The tables behind a node type, in the order in which an id is looked for. */
const tablesOfType: Record<string, readonly ShownTable[]> = {
  ApiKey: ["apiKeys"],
  Component: ["components"],
  Customer: ["customers"],
  Instance: ["instances"],
  InstanceFlowConfig: ["instanceFlowConfigs"],
  Integration: ["integrations", "versions"],
  OrganizationSigningKey: ["signingKeys"],
  User: ["users"],
  UserLevelConfig: ["userLevelConfigs"],
  UserToken: ["tokens"],
};

/** The node types that an id in an input may have to count as the object of a mutation. */
export const isAuditedType = (type: string): boolean =>
  type in tablesOfType || type === "Organization" || type in executionTables;

/** The node type of a row that was made; null for rows that are parts of others. */
export function nodeTypeOf({ table }: InsertedRow): string | null {
  // An instance's flow configs are made along with it.
  if (table === "instanceFlowConfigs") return null;
  const found = Object.entries(tablesOfType).find(([, tables]) => tables.some((name) => name === table));
  return found?.[0] ?? null;
}

/** `database` is the transaction of the change, where there is one. */
export async function readSnapshot(
  database: ConfigDatabase,
  store: Store,
  { type, id }: { type: string; id: string },
): Promise<Snapshot> {
  if (type === "Organization") {
    const row = await database
      .selectFrom("meta")
      .select("value")
      .where("key", "=", "organizationName")
      .executeTakeFirst();
    return { shown: { name: row?.value ?? null }, customerId: null };
  }
  if (type in executionTables) {
    // Another database, so that the transaction under way does not stand in its way.
    const row = await store.executions
      .selectFrom(executionTables[type as keyof typeof executionTables])
      .select("customerId")
      .where("id", "=", id)
      .executeTakeFirst();
    return { shown: null, customerId: row?.customerId ?? null };
  }
  for (const table of tablesOfType[type] ?? []) {
    const row = await readRow(database, table, id);
    if (row === undefined) continue;
    const shown = { ...readable(row), ...(await partsOf(database, table, id)) };
    return { shown, customerId: await customerOf(database, table, id, row) };
  }
  return { shown: null, customerId: null };
}

const executionTables = { InstanceExecutionResult: "executions", Rejection: "rejections" } as const;

type Row = Record<string, unknown>;

async function readRow(database: ConfigDatabase, table: ShownTable, id: string): Promise<Row | undefined> {
  // The table's name is any of several here, which the query's types can't follow: they are checked above.
  const query = database.selectFrom(table as "customers").select(shownColumns[table] as unknown as ["name"]);
  return (await query.where("id", "=", id).executeTakeFirst()) as Row | undefined;
}

const keysMax = 30;

/** What belongs to the object and changes with it: its keys as masks, and which config variables are set. */
async function partsOf(database: ConfigDatabase, table: ShownTable, id: string): Promise<Row> {
  if (table === "instances") {
    const variables = await database
      .selectFrom("instanceConfigVariables")
      .select(["key", "sealedValue", "updatedAtMs"])
      .where("instanceId", "=", id)
      .where("userId", "is", null)
      .orderBy("key")
      .limit(100)
      .execute();
    const configVariables = variables.map((row) => ({
      key: row.key,
      isSet: row.sealedValue !== null,
      updatedAt: new Date(row.updatedAtMs).toISOString(),
    }));
    return { apiKeys: await keysOfOwner(database, "INSTANCE", id), configVariables };
  }
  if (table === "integrations") return { apiKeys: await keysOfOwner(database, "INTEGRATION", id) };
  return {};
}

async function keysOfOwner(
  database: ConfigDatabase,
  ownerType: "INSTANCE" | "INTEGRATION",
  ownerId: string,
): Promise<Row[]> {
  const rows = await database
    .selectFrom("apiKeys")
    .select(["stableKey", "prefix", "last4", "expiresAtMs", "revokedAtMs"])
    .where("ownerType", "=", ownerType)
    .where("ownerId", "=", ownerId)
    .orderBy("createdAtMs", "desc")
    .limit(keysMax)
    .execute();
  return rows.map(readable);
}

async function customerOf(
  database: ConfigDatabase,
  table: ShownTable,
  id: string,
  row: Row,
): Promise<string | null> {
  if (table === "customers") return id;
  if (table === "tokens") {
    if (row["userId"] === null) return null;
    const user = await readRow(database, "users", String(row["userId"]));
    return (user?.["customerId"] as string | null | undefined) ?? null;
  }
  const instanceId =
    table === "instanceFlowConfigs" || table === "userLevelConfigs"
      ? row["instanceId"]
      : table === "apiKeys" && row["ownerType"] === "INSTANCE"
        ? row["ownerId"]
        : null;
  if (instanceId !== null) {
    const instance = await readRow(database, "instances", String(instanceId));
    return (instance?.["customerId"] as string | null | undefined) ?? null;
  }
  return (row["customerId"] as string | null | undefined) ?? null;
}

/** Times as ISO texts, flags as booleans, JSON columns as what they hold, a key as its mask. */
function readable(row: Row): Row {
  const shown: Row = {};
  for (const [column, value] of Object.entries(row)) {
    if (column === "prefix" || column === "last4") continue;
    if (column.endsWith("AtMs")) {
      shown[column.slice(0, -2)] = typeof value === "number" ? new Date(value).toISOString() : null;
    } else if (column.endsWith("Json")) {
      shown[column.slice(0, -4)] = JSON.parse(String(value ?? "null"));
    } else if (flagColumns.has(column)) {
      shown[column] = value === 1;
    } else {
      shown[column] = value;
    }
  }
  const { prefix, last4 } = row;
  if (typeof prefix === "string" && typeof last4 === "string") shown["mask"] = maskKey(prefix, last4);
  return shown;
}

const flagColumns = new Set(["isAvailable", "enabled", "globalDebug", "needsDeploy", "isImported"]);
