/** Finding integrations: a draft's node id wraps the integration's id, a version's wraps the version's. */
import type { Definition } from "../../shared/definition.ts";
import { isUuid } from "../../shared/ids.ts";
import { type Context, customerScope } from "../context.ts";
import { readDefinition } from "../store/configuredVersions.ts";
import type { ConfigDatabase, ConfigTransaction } from "../store/store.ts";
import { inputId, notFound } from "./inputs.ts";
import type { FlowItem, IntegrationItem, IntegrationRow } from "./refs.ts";

type Reader = ConfigDatabase | ConfigTransaction;

/** The draft or version with this id. */
export async function findIntegration(database: Reader, id: string): Promise<IntegrationItem | null> {
  if (!isUuid(id)) return null;
  const draft = await database.selectFrom("integrations").selectAll().where("id", "=", id).executeTakeFirst();
  if (draft !== undefined) return { integration: draft, version: null };
  const version = await database.selectFrom("versions").selectAll().where("id", "=", id).executeTakeFirst();
  if (version === undefined) return null;
  const integration = await database
    .selectFrom("integrations")
    .selectAll()
    .where("id", "=", version.integrationId)
    .executeTakeFirstOrThrow();
  return { integration, version };
}

/** The same, or null where the viewer may not see it: a customer sees what its instances run on. */
export async function visibleIntegration(context: Context, id: string): Promise<IntegrationItem | null> {
  if (context.viewer?.role === "DATA_PLANE" || context.viewer === null) return null;
  const item = await findIntegration(context.store.config, id);
  const customerId = customerScope(context);
  if (item === null || customerId === null) return item;
  const { version } = item;
  if (version === null) return null;
  const instance = await context.store.config
    .selectFrom("instances")
    .select("id")
    .where("customerId", "=", customerId)
    .where((eb) => eb.or([eb("versionId", "=", version.id), eb("deployedVersionId", "=", version.id)]))
    .limit(1)
    .executeTakeFirst();
  return instance === undefined ? null : item;
}

/** For mutations: the integration of a draft's or version's node id. */
export async function requiredIntegration(
  database: Reader,
  nodeId: string,
  field: string,
): Promise<IntegrationItem> {
  const id = inputId("Integration", nodeId);
  const item = id === null ? null : await findIntegration(database, id);
  if (item === null) throw notFound(field, "integration");
  return item;
}

export const itemId = ({ integration, version }: IntegrationItem): string => version?.id ?? integration.id;

export const draftOf = (integration: IntegrationRow): IntegrationItem => ({ integration, version: null });

/** Null for a draft into which nothing was imported yet. */
export async function definitionOf(
  database: Reader,
  { integration, version }: IntegrationItem,
): Promise<Definition | null> {
  const digest = version?.definitionDigest ?? integration.draftDigest;
  return digest === null ? null : readDefinition(database, digest);
}

/** The flows in the definition's order. */
export async function flowsOf(database: Reader, owner: IntegrationItem): Promise<FlowItem[]> {
  const definition = await definitionOf(database, owner);
  if (definition === null) return [];
  const rows = await database
    .selectFrom("flows")
    .select(["id", "stableKey"])
    .where("ownerId", "=", itemId(owner))
    .execute();
  const ids = new Map(rows.map((row) => [row.stableKey, row.id]));
  return definition.flows.flatMap((flow) => {
    const id = ids.get(flow.stableKey);
    return id === undefined ? [] : [{ id, owner, definition, flow }];
  });
}

/** The flow whose row has this id; null where the draft has it no more. */
export async function findFlow(database: Reader, id: string): Promise<FlowItem | null> {
  if (!isUuid(id)) return null;
  const row = await database.selectFrom("flows").select("ownerId").where("id", "=", id).executeTakeFirst();
  const owner = row === undefined ? null : await findIntegration(database, row.ownerId);
  if (owner === null) return null;
  return (await flowsOf(database, owner)).find((flow) => flow.id === id) ?? null;
}

/** The latest published number, 0 where nothing was published. */
export async function latestNumber(database: Reader, integrationId: string): Promise<number> {
  const row = await database
    .selectFrom("versions")
    .select((eb) => eb.fn.max("number").as("number"))
    .where("integrationId", "=", integrationId)
    .executeTakeFirst();
  return row?.number ?? 0;
}
