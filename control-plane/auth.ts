/** Who is asking: bearer tokens and signed ones, and the two that a new store is made with. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../shared/config.ts";
import { newSecret } from "../shared/ids.ts";
import { equalInConstantTime, tokenHash } from "../shared/secrets.ts";
import type { Services, Viewer } from "./context.ts";
import { embeddedViewer, isJwt, type Origin } from "./jwt.ts";
import { customerAdmin, organizationAdmin, roleOf } from "./roles.ts";
import type { Store } from "./store/store.ts";
import { hasTokenHash, hasTokenOf, storeToken, type ValidToken, validToken } from "./store/tokens.ts";
import { createTokenUse } from "./tokenUse.ts";

export interface Authenticator {
  /** The viewer of an Authorization header; null without one; "refused" for a token that is not valid. */
  viewer(authorization: string | undefined, origin: Origin): Promise<Viewer | null | "refused">;
  stop(): Promise<void>;
}

export function createAuthenticator({
  store,
  config,
  feed,
  log,
}: Pick<Services, "store" | "config" | "feed" | "log">): Authenticator {
  const adminHash = config.adminToken === undefined ? null : tokenHash(config.adminToken);
  const dataPlaneHash = config.dataPlaneToken === undefined ? null : tokenHash(config.dataPlaneToken);
  const tokenUse = createTokenUse(store, log);
  return {
    async viewer(authorization, origin) {
      const token = bearerToken(authorization);
      if (token === null) return null;
      if (token === "") return "refused";
      const hash = tokenHash(token);
      if (adminHash !== null && equalInConstantTime(hash, adminHash)) {
        return { role: "ADMIN", tokenId: null, userId: null };
      }
      if (dataPlaneHash !== null && equalInConstantTime(hash, dataPlaneHash)) {
        return { role: "DATA_PLANE", tokenId: null };
      }
      if (isJwt(token)) return (await embeddedViewer({ store, feed }, token, origin)) ?? "refused";
      const row = await validToken(store, hash);
      const viewer = row === undefined ? null : viewerOf(row);
      if (viewer === null) return "refused";
      if (viewer.tokenId !== null) tokenUse.note(viewer.tokenId);
      return viewer;
    },
    stop: () => tokenUse.stop(),
  };
}

/** Null where the header is missing or blank; "" where it is not a bearer token. */
export function bearerToken(authorization: string | undefined): string | null {
  if (authorization === undefined || authorization.trim() === "") return null;
  return /^bearer\s+(\S+)$/i.exec(authorization.trim())?.[1] ?? "";
}

/** A user's token does what the user may do now, not when it was made. */
function viewerOf({ id, role, userId, userRole, customerId }: ValidToken): Viewer | null {
  if (role === "DATA_PLANE") return { role, tokenId: id };
  if (role === "ADMIN") return { role, tokenId: id, userId: null };
  if (userId === null || userRole === null) return null;
  const isOfAdmin = [organizationAdmin, customerAdmin].includes(roleOf({ role: userRole, customerId }));
  if (role === "ORGANIZATION" && customerId === null) {
    return { role: isOfAdmin ? "ADMIN" : "MEMBER", tokenId: id, userId };
  }
  if (role === "CUSTOMER" && customerId !== null) {
    return { role: isOfAdmin ? "CUSTOMER_ADMIN" : "CUSTOMER_MEMBER", tokenId: id, userId, customerId };
  }
  return null;
}

/**
 * Makes the first admin token, unless one is set or was made before. Returned once, to be printed: only its
 * hash is stored.
 */
export async function firstAdminToken(store: Store, config: Config): Promise<string | undefined> {
  if (config.adminToken !== undefined || (await hasTokenOf(store, "ADMIN"))) return undefined;
  const secret = newSecret("swa_");
  await storeToken(store, { role: "ADMIN", name: "First admin token", secret });
  return secret;
}

/** The token by which the data planes of this machine sign in: a file that only this user can read. */
export async function dataPlaneTokenFile(store: Store, config: Config): Promise<void> {
  if (config.dataPlaneToken !== undefined) return;
  const file = join(config.dataDir, "data-plane.token");
  let secret = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  if (secret === "") {
    secret = newSecret("swd_");
    writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  }
  if (!(await hasTokenHash(store, tokenHash(secret)))) {
    await storeToken(store, { role: "DATA_PLANE", name: "Data planes of this machine", secret });
  }
}
