/**
 * Embedded customers: the organization's own backend signs a short-lived token (JWT) for a user of a customer,
 * whose browser shows it here. What it may say is small: RS256 or EdDSA; `sub`, the user; `customer`, the
 * customer's external id; `exp`, an hour ahead at most; `iat`, `nbf`, `name` and `role` if it likes.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { decodeProtectedHeader, type JWTPayload, jwtVerify } from "jose";
import { z } from "zod";
import { idFromNodeId } from "../shared/ids.ts";
import type { ChangeFeed } from "./changeFeed.ts";
import type { Viewer } from "./context.ts";
import { customerAdmin, customerMember, type Role, roleOf } from "./roles.ts";
import { customerIdOf, makeEmbeddedUser, userByExternalId } from "./store/embeddedUsers.ts";
import { readSigningKeys, type SigningKeyRow } from "./store/signingKeys.ts";
import type { Store } from "./store/store.ts";

/** Where a request came from, for the audit log. */
export interface Origin {
  remoteAddress: string;
  requestId: string;
}

const lifetimeSecondsMax = 3600;
/** How far the signer's clock may be ahead of ours. */
const clockSkewSeconds = 60;
const tokenLengthMax = 8192;

const claimsSchema = z.object({
  sub: z.string().min(1).max(200),
  customer: z.string().min(1).max(200),
  exp: z.number(),
  iat: z.number().optional(),
  name: z.string().trim().max(200).nullish(),
  role: z
    .string()
    .toLowerCase()
    .transform((role) => role.replace(/^customer[-_]/, ""))
    .pipe(z.enum(["admin", "member"]))
    .nullish(),
});
type Claims = z.infer<typeof claimsSchema>;

/** Whether a bearer token is a JWT; our own tokens have no dot. */
export const isJwt = (token: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token);

/** The customer's user that the token speaks for, made when first seen; null where it is refused. */
export async function embeddedViewer(
  { store, feed }: { store: Store; feed: ChangeFeed },
  token: string,
  origin: Origin,
): Promise<Viewer | null> {
  const claims = await verifiedClaims(store, token);
  if (claims === null) return null;
  const customerId = await customerIdOf(store.config, claims.customer);
  if (customerId === null) return null;
  const found = await userByExternalId(store.config, customerId, claims.sub);
  const claimed = claims.role == null ? null : claims.role === "admin" ? customerAdmin : customerMember;
  // What this token says holds for this token; where it says nothing, the user has its own role.
  const role = claimed ?? (found === undefined ? customerMember : roleOf({ ...found, customerId }));
  const userId = found?.id ?? (await makeUser(feed, customerId, claims, role, origin));
  return { role: viewerRole(role), tokenId: null, userId, customerId };
}

function makeUser(
  feed: ChangeFeed,
  customerId: string,
  claims: Claims,
  role: Role,
  origin: Origin,
): Promise<string> {
  const user = { customerId, externalId: claims.sub, name: claims.name ?? "", role: role.id };
  return feed.transact((transaction) => makeEmbeddedUser(transaction, user, origin));
}

/** The keys are read at each request: what a removed key has signed is refused from then on. */
async function verifiedClaims(store: Store, token: string): Promise<Claims | null> {
  if (token.length > tokenLengthMax) return null;
  const header = readHeader(token);
  if (header === null) return null;
  for (const row of await readSigningKeys(store.config)) {
    if (header.keyId !== null && header.keyId !== row.id) continue;
    const key = publicKeyOf(row);
    if (algorithmOf(key) !== header.algorithm) continue;
    const payload = await verified(token, key, header.algorithm);
    if (payload !== null) return checkedClaims(payload);
  }
  return null;
}

type Algorithm = "RS256" | "EdDSA";

/** The algorithm where it is one of the two, and the key's id where it is named as the API shows it. */
function readHeader(token: string): { algorithm: Algorithm; keyId: string | null } | null {
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    if (alg !== "RS256" && alg !== "EdDSA") return null;
    // Other systems give their keys ids of their own, which say nothing here.
    return { algorithm: alg, keyId: kid === undefined ? null : idFromNodeId("OrganizationSigningKey", kid) };
  } catch {
    return null;
  }
}

/** The key says which algorithm it is for: a public key is never taken for a secret. */
const algorithmOf = (key: KeyObject): Algorithm | null =>
  key.asymmetricKeyType === "rsa" ? "RS256" : key.asymmetricKeyType === "ed25519" ? "EdDSA" : null;

async function verified(token: string, key: KeyObject, algorithm: Algorithm): Promise<JWTPayload | null> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm],
      requiredClaims: ["sub", "customer", "exp"],
    });
    return payload;
  } catch {
    return null;
  }
}

/** jose has checked that `exp` is ahead and `nbf` is not; this checks what the claims may say beyond that. */
function checkedClaims(payload: JWTPayload): Claims | null {
  const claims = claimsSchema.safeParse(payload);
  if (!claims.success) return null;
  const { exp, iat } = claims.data;
  const now = Date.now() / 1000;
  if (exp > now + lifetimeSecondsMax + clockSkewSeconds) return null;
  if (iat !== undefined && (iat > now + clockSkewSeconds || exp - iat > lifetimeSecondsMax)) return null;
  return claims.data;
}

const viewerRole = (role: Role): "CUSTOMER_ADMIN" | "CUSTOMER_MEMBER" =>
  role === customerAdmin ? "CUSTOMER_ADMIN" : "CUSTOMER_MEMBER";

/** Parsed keys by their PEM, which never changes: there are a few at a time. */
const parsed = new Map<string, KeyObject>();
const parsedMax = 100;

function publicKeyOf({ publicKey }: SigningKeyRow): KeyObject {
  const known = parsed.get(publicKey);
  if (known !== undefined) return known;
  if (parsed.size >= parsedMax) parsed.clear();
  const key = createPublicKey(publicKey);
  parsed.set(publicKey, key);
  return key;
}
