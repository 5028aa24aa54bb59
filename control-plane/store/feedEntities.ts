/**
 * The feed's entities, computed from the tables when a page is read. Whatever writes a column that an entity
 * is computed from touches that entity in the same transaction.
 */
import type { Definition } from "../../shared/definition.ts";
import type {
  FeedEntityKind,
  InstanceEntity,
  IntegrationEntity,
  KeyEntity,
  SettingsEntity,
} from "../../shared/feed.ts";
import { seal } from "../../shared/secrets.ts";
import { keyStatus } from "./apiKeys.ts";
import type { TouchedEntity } from "./feedVersions.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";
import { deployedUserConfigs } from "./userConfigs.ts";

type Database = ConfigDatabase | ConfigTransaction;
type InstanceRow = ConfigTables["instances"];
type KeyRow = ConfigTables["apiKeys"];
type EntityData = SettingsEntity | Definition | IntegrationEntity | InstanceEntity;

/** The entities as they are now, by `kind/id`; an entity that is gone is missing. */
export async function readEntities(
  database: Database,
  store: Store,
  entities: readonly TouchedEntity[],
): Promise<Map<string, EntityData>> {
  const idsOf = (kind: FeedEntityKind): string[] =>
    entities.filter((entity) => entity.kind === kind).map((entity) => entity.id);
  const found = new Map<string, EntityData>();
  if (idsOf("settings").length > 0) {
    found.set("settings/settings", { organization: store.organization, wrappedPepper: store.wrappedPepper });
  }
  for (const [id, data] of await readDefinitions(database, idsOf("definition"))) {
    found.set(`definition/${id}`, data);
  }
  for (const [id, data] of await readIntegrations(database, idsOf("integration"))) {
    found.set(`integration/${id}`, data);
  }
  for (const [id, data] of await readInstances(database, store, idsOf("instance"))) {
    found.set(`instance/${id}`, data);
  }
  return found;
}

/** Definitions that a draft or a deployed version uses. */
async function readDefinitions(database: Database, digests: string[]): Promise<[string, Definition][]> {
  if (digests.length === 0) return [];
  const rows = await database
    .selectFrom("definitions")
    .selectAll()
    .where("digest", "in", digests)
    .where((eb) =>
      eb.or([
        eb.exists(
          eb
            .selectFrom("integrations")
            .select("integrations.id")
            .whereRef("integrations.draftDigest", "=", "definitions.digest"),
        ),
        eb.exists(
          eb
            .selectFrom("versions")
            .innerJoin("instances", "instances.deployedVersionId", "versions.id")
            .select("versions.id")
            .whereRef("versions.definitionDigest", "=", "definitions.digest"),
        ),
      ]),
    )
    .execute();
  return rows.map((row) => [row.digest, JSON.parse(row.definitionJson) as Definition]);
}

async function readIntegrations(database: Database, ids: string[]): Promise<[string, IntegrationEntity][]> {
  if (ids.length === 0) return [];
  const rows = await database
    .selectFrom("integrations")
    .innerJoin("instances", (join) =>
      join.onRef("instances.integrationId", "=", "integrations.id").on("instances.isSystem", "=", 1),
    )
    .select([
      "integrations.id",
      "integrations.name",
      "integrations.token",
      "integrations.allowedAddressesJson",
      "integrations.isolatesInstances",
      "instances.id as systemInstanceId",
    ])
    .where("integrations.id", "in", ids)
    .execute();
  const latest = await latestDeployedVersions(database, ids);
  const keys = Map.groupBy(await keysOfOwners(database, "INTEGRATION", ids), (key) => key.ownerId);
  return rows.map((row) => {
    const version = latest.get(row.id);
    const isShared = version?.definition.endpointType === "shared_instance";
    const organizationKeys: Record<string, KeyEntity[]> = {};
    for (const [stableKey, flowKeys] of Map.groupBy(keys.get(row.id) ?? [], (key) => key.stableKey)) {
      organizationKeys[stableKey] = keyEntities(flowKeys);
    }
    const entity: IntegrationEntity = {
      id: row.id,
      name: row.name,
      token: row.token,
      shared:
        version !== undefined && isShared
          ? { definitionDigest: version.digest, versionId: version.id, versionNumber: version.number }
          : null,
      systemInstanceId: row.systemInstanceId,
      organizationKeys,
      allowedAddresses: JSON.parse(row.allowedAddressesJson) as string[],
      isolatesInstances: row.isolatesInstances === 1,
    };
    return [row.id, entity];
  });
}

export interface DeployedVersion {
  id: string;
  number: number;
  digest: string;
  definition: Definition;
}

/** Of each integration the latest version that is deployed to a customer: it configures the shared URL. */
export async function latestDeployedVersions(
  database: Database,
  integrationIds: string[],
): Promise<Map<string, DeployedVersion>> {
  const rows = await database
    .selectFrom("versions")
    .innerJoin("definitions", "definitions.digest", "versions.definitionDigest")
    .select([
      "versions.id",
      "versions.integrationId",
      "versions.number",
      "definitions.digest",
      "definitionJson",
    ])
    .where("versions.integrationId", "in", integrationIds)
    .where("versions.number", "=", (eb) =>
      eb
        .selectFrom("versions as deployed")
        .innerJoin("instances", "instances.deployedVersionId", "deployed.id")
        .select((inner) => inner.fn.max("deployed.number").as("number"))
        .where("instances.isSystem", "=", 0)
        .whereRef("deployed.integrationId", "=", "versions.integrationId"),
    )
    .execute();
  return new Map(
    rows.map((row) => [
      row.integrationId,
      {
        id: row.id,
        number: row.number,
        digest: row.digest,
        definition: JSON.parse(row.definitionJson) as Definition,
      },
    ]),
  );
}

async function readInstances(
  database: Database,
  store: Store,
  ids: string[],
): Promise<[string, InstanceEntity][]> {
  if (ids.length === 0) return [];
  const rows = await database
    .selectFrom("instances")
    .innerJoin("integrations", "integrations.id", "instances.integrationId")
    .innerJoin("customers", "customers.id", "instances.customerId")
    .leftJoin("versions", "versions.id", "instances.deployedVersionId")
    .selectAll("instances")
    .select([
      "integrations.name as integrationName",
      "integrations.draftDigest",
      "customers.externalId",
      "customers.name as customerName",
      "versions.number",
      "versions.definitionDigest",
    ])
    .where("instances.id", "in", ids)
    .execute();
  const users = Map.groupBy(
    await database
      .selectFrom("users")
      .selectAll()
      .where("customerId", "in", [...new Set(rows.map((row) => row.customerId))])
      .orderBy("id")
      .execute(),
    (user) => user.customerId,
  );
  const userConfigs = await deployedUserConfigs(database, ids);
  const flows = await readFlows(database, rows);
  return rows.flatMap((row) => {
    const digest = row.isSystem === 1 ? row.draftDigest : row.definitionDigest;
    if (digest === null) return [];
    const entity: InstanceEntity = {
      id: row.id,
      name: row.name,
      integrationId: row.integrationId,
      integrationName: row.integrationName,
      isSystem: row.isSystem === 1,
      isEnabled: row.enabled === 1,
      globalDebug: row.globalDebug === 1,
      versionId: definitionOwner(row),
      versionNumber: row.number ?? 0,
      definitionDigest: digest,
      customer: {
        id: row.customerId,
        externalId: row.externalId ?? "",
        name: row.customerName,
        users: (users.get(row.customerId) ?? []).map(({ id, externalId, email, name }) => {
          const user = { id, externalId, email, name };
          const sealedConfigVars = userConfigs.get(`${row.id}/${id}`);
          return sealedConfigVars === undefined ? user : { ...user, sealedConfigVars };
        }),
      },
      token: row.token,
      allowedAddresses: JSON.parse(row.allowedAddressesJson) as string[],
      flows: flows.get(row.id) ?? {},
      sealedConfigVars: row.deployedSealedConfigVars ?? seal(store.masterKey, "configVars", "{}"),
    };
    return [[row.id, entity] as [string, InstanceEntity]];
  });
}

/** The version that the instance runs on; for a system instance the draft, which has the integration's id. */
const definitionOwner = (row: InstanceRow): string => row.deployedVersionId ?? row.integrationId;

/** The flows of each instance by stable key: those of its definition that have a flow config. */
async function readFlows(
  database: Database,
  instances: InstanceRow[],
): Promise<Map<string, InstanceEntity["flows"]>> {
  const ids = instances.map((row) => row.id);
  const owners = [...new Set(instances.map(definitionOwner))];
  const flowRows = await database.selectFrom("flows").selectAll().where("ownerId", "in", owners).execute();
  const configRows = await database
    .selectFrom("instanceFlowConfigs")
    .selectAll()
    .where("instanceId", "in", ids)
    .execute();
  const keys = Map.groupBy(
    await keysOfOwners(database, "INSTANCE", ids),
    (key) => `${key.ownerId}/${key.stableKey}`,
  );
  const flowIds = new Map(flowRows.map((row) => [`${row.ownerId}/${row.stableKey}`, row.id]));
  const configs = Map.groupBy(configRows, (row) => row.instanceId);
  return new Map(
    instances.map((instance) => {
      const flows = (configs.get(instance.id) ?? []).flatMap((config) => {
        const flowId = flowIds.get(`${definitionOwner(instance)}/${config.stableKey}`);
        if (flowId === undefined) return [];
        const flow = {
          flowId,
          flowConfigId: config.id,
          token: config.token,
          keys: keyEntities(keys.get(`${instance.id}/${config.stableKey}`) ?? []),
          allowedAddresses: JSON.parse(config.allowedAddressesJson) as string[],
        };
        return [[config.stableKey, flow] as const];
      });
      return [instance.id, Object.fromEntries(flows)];
    }),
  );
}

async function keysOfOwners(
  database: Database,
  ownerType: KeyRow["ownerType"],
  ownerIds: string[],
): Promise<KeyRow[]> {
  return database
    .selectFrom("apiKeys")
    .selectAll()
    .where("ownerType", "=", ownerType)
    .where("ownerId", "in", ownerIds)
    .orderBy("id")
    .execute();
}

/** Revoked keys, and expired keys, of a flow that data planes hear of: enough to say why a sender is refused. */
const endedKeysMax = 20;

/**
 * The latest expired keys are there, too: a flow whose keys have all expired still needs one. What expires
 * later needs no message, as the data plane's own clock decides.
 */
function keyEntities(rows: KeyRow[]): KeyEntity[] {
  const nowMs = Date.now();
  const by = Map.groupBy(rows, (row) => keyStatus(row, nowMs));
  const revoked = (by.get("REVOKED") ?? []).sort((a, b) => b.revokedAtMs! - a.revokedAtMs!);
  const expired = (by.get("EXPIRED") ?? []).sort((a, b) => b.expiresAtMs! - a.expiresAtMs!);
  return [
    ...(by.get("ACTIVE") ?? []),
    ...expired.slice(0, endedKeysMax),
    ...revoked.slice(0, endedKeysMax),
  ].map(({ id, hmac, sealed, expiresAtMs, revokedAtMs }) => ({ id, hmac, sealed, expiresAtMs, revokedAtMs }));
}
