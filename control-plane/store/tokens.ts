/** Bearer tokens as rows: only their hashes are stored. */
import { newId } from "../../shared/ids.ts";
import { tokenHash } from "../../shared/secrets.ts";
import type { Store } from "./store.ts";
import type { TokenRole } from "./tables.ts";

export interface ValidToken {
  id: string;
  role: TokenRole;
  userId: string | null;
  /** The user's role as it is now; null for tokens that belong to no user. */
  userRole: string | null;
  /** The customer of the user. */
  customerId: string | null;
}

/** The token with this hash, unless it was revoked or has ended. */
export function validToken(store: Store, hash: string): Promise<ValidToken | undefined> {
  return store.config
    .selectFrom("tokens")
    .leftJoin("users", "users.id", "tokens.userId")
    .select(["tokens.id", "tokens.role", "tokens.userId", "users.role as userRole", "users.customerId"])
    .where("tokens.hash", "=", hash)
    .where("tokens.revokedAtMs", "is", null)
    .where((eb) => eb.or([eb("tokens.expiresAtMs", "is", null), eb("tokens.expiresAtMs", ">", Date.now())]))
    .executeTakeFirst();
}

export async function hasTokenOf(store: Store, role: TokenRole): Promise<boolean> {
  const row = await store.config
    .selectFrom("tokens")
    .select("id")
    .where("role", "=", role)
    .executeTakeFirst();
  return row !== undefined;
}

export async function hasTokenHash(store: Store, hash: string): Promise<boolean> {
  const row = await store.config
    .selectFrom("tokens")
    .select("id")
    .where("hash", "=", hash)
    .executeTakeFirst();
  return row !== undefined;
}

/** Stores a token that belongs to no user. */
export async function storeToken(
  store: Store,
  { role, name, secret }: { role: TokenRole; name: string; secret: string },
): Promise<void> {
  await store.config
    .insertInto("tokens")
    .values({
      id: newId(),
      role,
      userId: null,
      name,
      hash: tokenHash(secret),
      createdAtMs: Date.now(),
      expiresAtMs: null,
      revokedAtMs: null,
      lastUsedAtMs: null,
    })
    .execute();
}
