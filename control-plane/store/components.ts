/** Components: published packages by key and version, and the built-in ones. */
import { sql } from "kysely";
import type { ActionReference } from "../../shared/definition.ts";
import { builtInComponents } from "./builtInComponents.ts";
import type { ActionPart, ComponentParts } from "./componentParts.ts";
import type { ConfigDatabase, ConfigTransaction } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

type Reader = ConfigDatabase | ConfigTransaction;
type ComponentRow = ConfigTables["components"];

/** A component without its parts, which may be large. */
export type ComponentHead = Omit<ComponentRow, "definitionJson"> & { isBuiltIn: boolean };

export interface ComponentFilter {
  key?: string | null;
  isPublic?: boolean | null;
  versionNumber?: number | null;
  /** Every version, not only the newest of each. */
  allVersions?: boolean | null;
  withCodeNative?: boolean | null;
}

export const headColumns = [
  "id",
  "key",
  "versionNumber",
  "isCodeNative",
  "label",
  "description",
  "category",
  "documentationUrl",
  "customerId",
  "comment",
  "attributesJson",
  "iconUrl",
  "status",
  "refusal",
  "signature",
  "digest",
  "createdAtMs",
  "createdByUserId",
] as const;

/** More than this many are not listed: a key narrows it down. */
const listedMax = 10_000;

/** The components whose packages are there, by key and version. */
export async function listComponents(database: Reader, filter: ComponentFilter): Promise<ComponentHead[]> {
  const builtIn = filter.isPublic === false ? [] : builtInHeads.filter((head) => matches(head, filter));
  if (filter.isPublic === true) return builtIn;
  let query = database
    .selectFrom("components")
    .select(headColumns)
    .where("status", "=", "READY")
    .orderBy("key")
    .orderBy("versionNumber", "desc")
    .limit(listedMax);
  if (filter.key != null) query = query.where("key", "=", filter.key);
  if (filter.versionNumber != null) query = query.where("versionNumber", "=", filter.versionNumber);
  if (filter.withCodeNative !== true) query = query.where("isCodeNative", "=", 0);
  if (filter.allVersions !== true && filter.versionNumber == null) {
    query = query.where("versionNumber", "=", (eb) =>
      eb
        .selectFrom("components as newest")
        .select((inner) => inner.fn.max("newest.versionNumber").as("number"))
        .where("newest.status", "=", "READY")
        .whereRef("newest.key", "=", "components.key"),
    );
  }
  const rows = await query.execute();
  return [...builtIn, ...rows.map((row) => ({ ...row, isBuiltIn: false }))];
}

export async function componentById(database: Reader, id: string): Promise<ComponentHead | null> {
  const builtIn = builtInHeads.find((head) => head.id === id);
  if (builtIn !== undefined) return builtIn;
  const row = await database
    .selectFrom("components")
    .select(headColumns)
    .where("id", "=", id)
    .executeTakeFirst();
  return row === undefined ? null : { ...row, isBuiltIn: false };
}

export async function partsOf(
  database: Reader,
  head: Pick<ComponentHead, "id" | "isBuiltIn">,
): Promise<ComponentParts> {
  if (head.isBuiltIn) {
    return builtInComponents.find((component) => component.id === head.id)?.parts ?? noParts;
  }
  const row = await database
    .selectFrom("components")
    .select("definitionJson")
    .where("id", "=", head.id)
    .executeTakeFirst();
  return row === undefined ? noParts : (JSON.parse(row.definitionJson) as ComponentParts);
}

const noParts: ComponentParts = { actions: [], triggers: [], dataSources: [], connections: [] };

/** The component that a step of a definition calls; null where it was deleted. */
export async function componentOfStep(
  database: Reader,
  reference: ActionReference,
  bundles: Record<string, string>,
): Promise<ComponentHead | null> {
  if (reference.isPublic) return builtInHeads.find((head) => head.key === reference.componentKey) ?? null;
  const digest = bundles[reference.componentKey];
  if (digest === undefined) return null;
  const row = await database
    .selectFrom("components")
    .select(headColumns)
    .where("key", "=", reference.componentKey)
    .where("digest", "=", digest)
    .orderBy("versionNumber", "desc")
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : { ...row, isBuiltIn: false };
}

export const findAction = (parts: ComponentParts, key: string, isTrigger: boolean): ActionPart | undefined =>
  (isTrigger ? parts.triggers : parts.actions).find((action) => action.key === key);

/**
 * The package of a private component that a new definition uses: the newest that is ready. Otherwise a
 * sentence that says why there is none.
 */
export async function newestPackage(
  database: Reader,
  key: string,
): Promise<{ ok: true; id: string; digest: string } | { ok: false; problem: string }> {
  const rows = await database
    .selectFrom("components")
    .select(["id", "status", "refusal", "digest"])
    .where("key", "=", key)
    .orderBy("versionNumber", "desc")
    .execute();
  const ready = rows.find((row) => row.status === "READY");
  if (ready?.digest != null) return { ok: true, id: ready.id, digest: ready.digest };
  const newest = rows[0];
  if (newest === undefined) {
    return { ok: false, problem: `There is no component "${key}". Publish it first.` };
  }
  return {
    ok: false,
    problem:
      newest.status === "REFUSED"
        ? `The package of component "${key}" was refused: ${newest.refusal ?? ""}`
        : `The package of component "${key}" was not uploaded yet.`,
  };
}

/** The package is in its place: the component can be used. */
export async function acceptPackage(
  database: ConfigDatabase,
  id: string,
  { signature, digest }: { signature: string; digest: string },
): Promise<void> {
  await database
    .updateTable("components")
    .set({ status: "READY", refusal: null, signature, digest })
    .where("id", "=", id)
    .execute();
}

/** Notes why a package was not taken; a component that has its package keeps it. */
export async function refusePackage(database: ConfigDatabase, id: string, refusal: string): Promise<void> {
  await database
    .updateTable("components")
    .set({ status: "REFUSED", refusal })
    .where("id", "=", id)
    .where("status", "!=", "READY")
    .execute();
}

export async function setIcon(database: ConfigDatabase, id: string, iconUrl: string): Promise<void> {
  await database.updateTable("components").set({ iconUrl }).where("id", "=", id).execute();
}

/** The integrations whose draft or versions run on this package. */
export async function integrationsUsing(database: Reader, digest: string): Promise<string[]> {
  const rows = await database
    .selectFrom("integrations")
    .select("integrations.name")
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom("definitions")
          .select("definitions.digest")
          .where(sql<boolean>`definitions.definitionJson like ${`%"${digest}"%`}`)
          .where((inner) =>
            inner.or([
              inner("definitions.digest", "=", inner.ref("integrations.draftDigest")),
              inner.exists(
                inner
                  .selectFrom("versions")
                  .select("versions.id")
                  .whereRef("versions.integrationId", "=", "integrations.id")
                  .whereRef("versions.definitionDigest", "=", "definitions.digest"),
              ),
            ]),
          ),
      ),
    )
    .orderBy("integrations.name")
    .execute();
  return rows.map((row) => row.name);
}

const builtInHeads: readonly ComponentHead[] = builtInComponents.map(
  ({ id, key, label, description, category }) => ({
    id,
    key,
    versionNumber: 1,
    isCodeNative: 0,
    label,
    description,
    category,
    documentationUrl: "",
    customerId: null,
    comment: "",
    attributesJson: null,
    iconUrl: null,
    status: "READY",
    refusal: null,
    signature: null,
    digest: null,
    createdAtMs: 0,
    createdByUserId: null,
    isBuiltIn: true,
  }),
);

const matches = (head: ComponentHead, { key, versionNumber }: ComponentFilter): boolean =>
  (key == null || head.key === key) && (versionNumber == null || head.versionNumber === versionNumber);
