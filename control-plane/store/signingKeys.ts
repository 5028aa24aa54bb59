/** The organization's signing keys: public keys by which the tokens of embedded customers are checked. */
import type { ConfigDatabase, ConfigTransaction } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export type SigningKeyRow = ConfigTables["signingKeys"];

/** A token without a key id is tried against each key, so there are few. */
export const signingKeysMax = 20;

/** All keys, the oldest first. */
export function readSigningKeys(database: ConfigDatabase | ConfigTransaction): Promise<SigningKeyRow[]> {
  return database.selectFrom("signingKeys").selectAll().orderBy("id").limit(signingKeysMax).execute();
}

export async function insertSigningKey(transaction: ConfigTransaction, row: SigningKeyRow): Promise<void> {
  await transaction.insertInto("signingKeys").values(row).execute();
}

/** The key that was removed, or undefined where there was none. */
export function deleteSigningKey(
  transaction: ConfigTransaction,
  id: string,
): Promise<SigningKeyRow | undefined> {
  return transaction.deleteFrom("signingKeys").where("id", "=", id).returningAll().executeTakeFirst();
}
