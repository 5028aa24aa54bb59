/** An integration's draft: what is stored of an import, and what stands around it. */
import { parseDocument } from "yaml";
import type { Definition } from "../../shared/definition.ts";
import { newId, newUrlToken } from "../../shared/ids.ts";
import { keyHmac, sha256Hex } from "../../shared/secrets.ts";
import { insertKey, keysOf } from "./apiKeys.ts";
import { readDefinition } from "./configuredVersions.ts";
import { sealedConfigVarsOf } from "./configVariables.ts";
import { requestClientTokens } from "./oauthTokens.ts";
import type { ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";
import { deployUserConfigs } from "./userConfigs.ts";

type IntegrationRow = ConfigTables["integrations"];

export interface Draft {
  yaml: string;
  definition: Definition;
  /** In the clear, by the flow's stable key. */
  organizationApiKeys: Record<string, string[]>;
}

/** The name of a draft's organization keys: they are replaced at each import, and published with the version. */
export const draftKeyName = "draft organization key";

/** Makes an integration without a draft, with its system instance. */
export async function insertIntegration(
  transaction: ConfigTransaction,
  store: Store,
  { name, description, customerId }: { name: string; description: string; customerId: string | null },
): Promise<IntegrationRow> {
  const now = Date.now();
  const integration: IntegrationRow = {
    id: newId(),
    name,
    description,
    category: "",
    labelsJson: "[]",
    avatarUrl: null,
    customerId,
    token: newUrlToken(),
    allowedAddressesJson: "[]",
    isolatesInstances: 0,
    isCodeNative: 0,
    draftYaml: null,
    draftDigest: null,
    createdAtMs: now,
    updatedAtMs: now,
  };
  await transaction.insertInto("integrations").values(integration).execute();
  await transaction
    .insertInto("instances")
    .values({
      id: newId(),
      integrationId: integration.id,
      customerId: store.testCustomerId,
      versionId: null,
      deployedVersionId: null,
      deployedSealedConfigVars: null,
      deployedAtMs: null,
      name: `${name} (tests)`,
      description: "Tests of the draft run here.",
      labelsJson: "[]",
      isSystem: 1,
      enabled: 1,
      globalDebug: 0,
      needsDeploy: 0,
      token: newUrlToken(),
      allowedAddressesJson: "[]",
      createdAtMs: now,
      updatedAtMs: now,
    })
    .execute();
  return integration;
}

/** Stores the draft, its flows, and what its system instance needs. The caller touches the integration. */
export async function saveDraft(
  transaction: ConfigTransaction,
  store: Store,
  integrationId: string,
  { yaml, definition, organizationApiKeys }: Draft,
): Promise<IntegrationRow> {
  const draftDigest = await storeDefinition(transaction, definition);
  const integration = await transaction
    .updateTable("integrations")
    .set({
      name: definition.name,
      description: definition.description,
      category: definition.category,
      labelsJson: JSON.stringify(definition.labels),
      isCodeNative: definition.isCodeNative ? 1 : 0,
      draftYaml: withoutOrganizationKeys(yaml),
      draftDigest,
      updatedAtMs: Date.now(),
    })
    .where("id", "=", integrationId)
    .returningAll()
    .executeTakeFirstOrThrow();
  await storeFlows(transaction, integrationId, integrationId, definition);
  const { id: instanceId } = await systemInstanceOf(transaction, integrationId);
  for (const { stableKey } of definition.flows) {
    await transaction
      .insertInto("instanceFlowConfigs")
      .values({ id: newId(), instanceId, stableKey, token: newUrlToken(), allowedAddressesJson: "[]" })
      .onConflict((conflict) => conflict.columns(["instanceId", "stableKey"]).doNothing())
      .execute();
  }
  await replaceDraftKeys(transaction, store, instanceId, organizationApiKeys);
  await transaction
    .updateTable("instances")
    .set({
      deployedSealedConfigVars: await sealedConfigVarsOf(transaction, store, instanceId, definition),
    })
    .where("id", "=", instanceId)
    .execute();
  await deployUserConfigs(transaction, store, instanceId, definition);
  await requestClientTokens(transaction, store, instanceId, definition);
  return integration;
}

/** What `updateIntegration` can change of a draft without an import. */
export interface DraftChanges {
  name?: string;
  description?: string;
  category?: string;
  labels?: string[];
}

/** Changes the integration, and its draft's YAML and definition with it. */
export async function changeDraft(
  transaction: ConfigTransaction,
  integration: IntegrationRow,
  changes: DraftChanges,
): Promise<void> {
  const { labels, ...texts } = changes;
  const columns: Partial<IntegrationRow> = { ...texts, updatedAtMs: Date.now() };
  if (labels !== undefined) columns.labelsJson = JSON.stringify(labels);
  if (integration.draftDigest !== null && integration.draftYaml !== null) {
    const document = parseDocument(integration.draftYaml);
    for (const [key, value] of Object.entries(changes)) document.set(key, value);
    const definition = await readDefinition(transaction, integration.draftDigest);
    columns.draftYaml = document.toString();
    columns.draftDigest = await storeDefinition(transaction, { ...definition, ...changes });
  }
  await transaction.updateTable("integrations").set(columns).where("id", "=", integration.id).execute();
}

export function systemInstanceOf(
  transaction: ConfigTransaction,
  integrationId: string,
): Promise<ConfigTables["instances"]> {
  return transaction
    .selectFrom("instances")
    .selectAll()
    .where("integrationId", "=", integrationId)
    .where("isSystem", "=", 1)
    .executeTakeFirstOrThrow();
}

/** Definitions are immutable and known by the SHA-256 of their canonical JSON. */
async function storeDefinition(transaction: ConfigTransaction, definition: Definition): Promise<string> {
  const definitionJson = canonicalJson(definition);
  const digest = sha256Hex(definitionJson);
  await transaction
    .insertInto("definitions")
    .values({ digest, definitionJson })
    .onConflict((conflict) => conflict.column("digest").doNothing())
    .execute();
  return digest;
}

/** Makes the rows of the flows that the owner lacks. A flow that comes back in a later import has its old id. */
export async function storeFlows(
  transaction: ConfigTransaction,
  integrationId: string,
  ownerId: string,
  definition: Definition,
): Promise<void> {
  for (const [position, { stableKey }] of definition.flows.entries()) {
    await transaction
      .insertInto("flows")
      .values({ id: newId(), ownerId, integrationId, stableKey, position })
      .onConflict((conflict) => conflict.columns(["ownerId", "stableKey"]).doUpdateSet({ position }))
      .execute();
  }
}

async function replaceDraftKeys(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  organizationApiKeys: Record<string, string[]>,
): Promise<void> {
  await transaction
    .deleteFrom("apiKeys")
    .where("ownerType", "=", "INSTANCE")
    .where("ownerId", "=", instanceId)
    .where("name", "=", draftKeyName)
    .execute();
  const taken = new Set(
    (await keysOf(transaction, { ownerType: "INSTANCE", ownerId: instanceId })).map(
      (row) => `${row.stableKey}/${row.hmac}`,
    ),
  );
  for (const [stableKey, keys] of Object.entries(organizationApiKeys)) {
    for (const key of new Set(keys)) {
      const owner = { ownerType: "INSTANCE" as const, ownerId: instanceId, stableKey };
      if (taken.has(`${stableKey}/${keyHmac(store.pepper, key)}`)) continue;
      await insertKey(transaction, store, owner, {
        key,
        name: draftKeyName,
        createdBy: "import",
        expiresAtMs: null,
      });
    }
  }
}

/** The YAML without the flows' organization keys; otherwise as it was written, comments included. */
export function withoutOrganizationKeys(yaml: string): string {
  const document = parseDocument(yaml);
  const flows = document.toJS({ maxAliasCount: 100 }).flows as unknown[];
  let isChanged = false;
  for (const index of flows.keys()) {
    isChanged = document.deleteIn(["flows", index, "organizationApiKeys"]) || isChanged;
  }
  return isChanged ? document.toString() : yaml;
}

/** JSON with its object keys in one order, so that the same definition has the same digest. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}
