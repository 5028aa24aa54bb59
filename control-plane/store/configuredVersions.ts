/** What an instance is set to: the version or draft, its definition, and its flows. */
import { LRUCache } from "lru-cache";
import type { Definition } from "../../shared/definition.ts";
import type { ConfigDatabase, ConfigTransaction } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

type Reader = ConfigDatabase | ConfigTransaction;
type InstanceRow = ConfigTables["instances"];

export interface ConfiguredVersion {
  integration: ConfigTables["integrations"];
  /** Null for a draft. */
  version: ConfigTables["versions"] | null;
  definitionDigest: string;
  definition: Definition;
  /** The ids of the flows' rows, by stable key. */
  flowIds: ReadonlyMap<string, string>;
}

/** Definitions never change, so they can be kept by digest. */
const definitions = new LRUCache<string, Definition>({ max: 200 });

export async function readDefinition(database: Reader, digest: string): Promise<Definition> {
  const kept = definitions.get(digest);
  if (kept !== undefined) return kept;
  const row = await database
    .selectFrom("definitions")
    .select("definitionJson")
    .where("digest", "=", digest)
    .executeTakeFirstOrThrow();
  const definition = JSON.parse(row.definitionJson) as Definition;
  definitions.set(digest, definition);
  return definition;
}

/** The version that the instance is set to, or the draft of a system instance; null where there is none yet. */
export const configuredVersionOf = (
  database: Reader,
  instance: Pick<InstanceRow, "integrationId" | "versionId">,
): Promise<ConfiguredVersion | null> => readVersion(database, instance.integrationId, instance.versionId);

/** A version, or the draft where `versionId` is null; null where it is not there, or nothing was imported. */
export async function readVersion(
  database: Reader,
  integrationId: string,
  versionId: string | null,
): Promise<ConfiguredVersion | null> {
  const integration = await database
    .selectFrom("integrations")
    .selectAll()
    .where("id", "=", integrationId)
    .executeTakeFirst();
  if (integration === undefined) return null;
  const version =
    versionId === null
      ? null
      : await database
          .selectFrom("versions")
          .selectAll()
          .where("id", "=", versionId)
          .where("integrationId", "=", integrationId)
          .executeTakeFirst();
  if (version === undefined) return null;
  const definitionDigest = version?.definitionDigest ?? integration.draftDigest;
  if (definitionDigest === null) return null;
  const definition = await readDefinition(database, definitionDigest);
  const flows = await database
    .selectFrom("flows")
    .select(["id", "stableKey"])
    .where("ownerId", "=", version?.id ?? integration.id)
    .execute();
  const flowIds = new Map(flows.map((flow) => [flow.stableKey, flow.id]));
  return { integration, version, definitionDigest, definition, flowIds };
}
