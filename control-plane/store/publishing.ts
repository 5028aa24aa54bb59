/** Publishing: a draft becomes the next version, with flows and organization keys of its own. */
import { newId } from "../../shared/ids.ts";
import { importDefinition } from "../../shared/importDefinition.ts";
import { publishProblems } from "../../shared/publishRules.ts";
import { isValidKey, keysOf } from "./apiKeys.ts";
import { readDefinition } from "./configuredVersions.ts";
import { draftKeyName, storeFlows, systemInstanceOf } from "./drafts.ts";
import type { ConfigTransaction } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

type IntegrationRow = ConfigTables["integrations"];
type VersionRow = ConfigTables["versions"];
type KeyRow = ConfigTables["apiKeys"];

export interface PublishNotes {
  comment: string;
  attributesJson: string | null;
  createdByUserId: string | null;
}

/** The new version, or a sentence for each thing that keeps the draft from being one. */
export async function publishDraft(
  transaction: ConfigTransaction,
  integration: IntegrationRow,
  notes: PublishNotes,
): Promise<{ ok: true; version: VersionRow } | { ok: false; problems: string[] }> {
  const { draftDigest, draftYaml } = integration;
  if (draftDigest === null || draftYaml === null) {
    return { ok: false, problems: ["There is nothing to publish: import a definition first."] };
  }
  const newKeys = await unpublishedKeys(transaction, integration.id);
  const published = await keysOf(transaction, { ownerType: "INTEGRATION", ownerId: integration.id });
  const valid = [...published, ...newKeys].filter((row) => isValidKey(row));
  const organizationKeyCounts: Record<string, number> = {};
  for (const { stableKey } of valid) {
    organizationKeyCounts[stableKey] = (organizationKeyCounts[stableKey] ?? 0) + 1;
  }
  const problems = publishProblems(importDefinition(draftYaml), { organizationKeyCounts });
  if (problems.length > 0) return { ok: false, problems };
  const newest = await transaction
    .selectFrom("versions")
    .select((eb) => eb.fn.max("number").as("number"))
    .where("integrationId", "=", integration.id)
    .executeTakeFirst();
  const version: VersionRow = {
    id: newId(),
    integrationId: integration.id,
    number: (newest?.number ?? 0) + 1,
    definitionDigest: draftDigest,
    yaml: draftYaml,
    comment: notes.comment,
    attributesJson: notes.attributesJson,
    isAvailable: 1,
    createdAtMs: Date.now(),
    createdByUserId: notes.createdByUserId,
  };
  await transaction.insertInto("versions").values(version).execute();
  const definition = await readDefinition(transaction, draftDigest);
  await storeFlows(transaction, integration.id, version.id, definition);
  for (const key of newKeys) {
    await transaction
      .insertInto("apiKeys")
      .values({
        ...key,
        id: newId(),
        ownerType: "INTEGRATION",
        ownerId: integration.id,
        name: `from version ${version.number}`,
        createdAtMs: version.createdAtMs,
        lastUsedAtMs: null,
      })
      .execute();
  }
  return { ok: true, version };
}

/** The draft's keys that the integration never had: a key that was revoked does not come back with a publish. */
async function unpublishedKeys(transaction: ConfigTransaction, integrationId: string): Promise<KeyRow[]> {
  const instance = await systemInstanceOf(transaction, integrationId);
  const drafted = await keysOf(transaction, { ownerType: "INSTANCE", ownerId: instance.id });
  const published = await keysOf(transaction, { ownerType: "INTEGRATION", ownerId: integrationId });
  const known = new Set(published.map((row) => `${row.stableKey}/${row.hmac}`));
  return drafted.filter((row) => row.name === draftKeyName && !known.has(`${row.stableKey}/${row.hmac}`));
}
