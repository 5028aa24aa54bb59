/** The users of embedded customers: known by what a signed token says of them. */
import { newId, toNodeId } from "../../shared/ids.ts";
import { insertAuditRow, type NewAuditRow } from "./auditLog.ts";
import { touchCustomer } from "./feedVersions.ts";
import type { ConfigDatabase, ConfigTransaction } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export interface EmbeddedUser {
  customerId: string;
  /** The user's id in the organization's own systems. */
  externalId: string;
  name: string;
  role: string;
}

/** The customer with this external id; not the test customer, for whom nobody signs in. */
export async function customerIdOf(database: ConfigDatabase, externalId: string): Promise<string | null> {
  const row = await database
    .selectFrom("customers")
    .select("id")
    .where("externalId", "=", externalId)
    .where("isSystem", "=", 0)
    .executeTakeFirst();
  return row?.id ?? null;
}

export function userByExternalId(
  database: ConfigDatabase | ConfigTransaction,
  customerId: string,
  externalId: string,
): Promise<Pick<ConfigTables["users"], "id" | "role"> | undefined> {
  return database
    .selectFrom("users")
    .select(["id", "role"])
    .where("customerId", "=", customerId)
    .where("externalId", "=", externalId)
    .executeTakeFirst();
}

/** The id of the user with this external id, who is made where two requests did not make it already. */
export async function makeEmbeddedUser(
  transaction: ConfigTransaction,
  { customerId, externalId, name, role }: EmbeddedUser,
  origin: Pick<NewAuditRow, "remoteAddress" | "requestId">,
): Promise<string> {
  const found = await userByExternalId(transaction, customerId, externalId);
  if (found !== undefined) return found.id;
  const id = newId();
  await transaction
    .insertInto("users")
    // The token names no address, and addresses are unique: this one can't be anybody's.
    .values({
      id,
      customerId,
      email: `${id}@embedded.invalid`,
      name,
      externalId,
      phone: "",
      role,
      createdAtMs: Date.now(),
    })
    .execute();
  // No mutation makes this user, so this is what the audit log hears of it.
  await insertAuditRow(transaction, {
    ...origin,
    actor: id,
    actorRole: role,
    tokenId: null,
    action: "embeddedUserFirstSeen",
    objectId: toNodeId("User", id),
    customerId,
    outcome: "SUCCEEDED",
    detailJson: JSON.stringify({ after: { externalId, name, role } }),
  });
  await touchCustomer(transaction, customerId);
  return id;
}
