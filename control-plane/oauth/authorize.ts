/**
 * Where somebody authorizes a connection: the OAuth server's address with a state that is bound to this
 * connection. Nothing is stored for it, so that an address can be shown as often as it is asked for; what came
 * back once is noted (see `callback.ts`).
 */
import { createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { isUuid } from "../../shared/ids.ts";
import type { Pepper } from "../../shared/secrets.ts";
import { readSignedPath, signPath } from "../../shared/signedPaths.ts";
import type { VariableOwner } from "../store/configVariables.ts";
import type { OAuthSettings } from "./settings.ts";

export const callbackPath = "/oauth2/callback";

/** Long enough for a link that is sent to whom it concerns. */
export const stateLifetimeMs = 3_600_000;

export interface OAuthState extends VariableOwner {
  key: string;
  /** Of the settings that it was begun with. */
  fingerprint: string;
  nonce: string;
}

const purpose = "oauth2 state";

export function authorizeUrl(
  pepper: Pepper,
  settings: OAuthSettings & { authorizeUrl: URL },
  owner: VariableOwner,
  key: string,
  redirectUri: string,
): string {
  const nonce = randomBytes(16).toString("base64url");
  const { instanceId, userId } = owner;
  const subject = JSON.stringify([instanceId, userId, key, settings.fingerprint, nonce]);
  // What is in the query already are the parameters that this server asks for beside the usual ones.
  const url = new URL(settings.authorizeUrl);
  url.searchParams.set("response_type", "code");
  url.searchParams.set("client_id", settings.clientId);
  url.searchParams.set("redirect_uri", redirectUri);
  url.searchParams.set("state", signPath(pepper, purpose, subject, stateLifetimeMs));
  if (settings.scopes !== "") url.searchParams.set("scope", settings.scopes);
  if (settings.pkceMethod !== null) {
    const verifier = codeVerifier(pepper, nonce);
    const isPlain = settings.pkceMethod === "plain";
    const challenge = isPlain ? verifier : createHash("sha256").update(verifier).digest("base64url");
    url.searchParams.set("code_challenge", challenge);
    url.searchParams.set("code_challenge_method", settings.pkceMethod);
  }
  return url.href;
}

/** Null where the text was not made here, or is too old. */
export function readState(pepper: Pepper, text: string): OAuthState | null {
  const subject = readSignedPath(pepper, purpose, text);
  if (subject === null) return null;
  const [instanceId, userId, key, fingerprint, nonce] = JSON.parse(subject) as [
    string,
    string | null,
    string,
    string,
    string,
  ];
  return isUuid(instanceId) ? { instanceId, userId, key, fingerprint, nonce } : null;
}

/** The secret that proves that who redeems the code has also begun: made of the nonce, so it is not kept. */
export function codeVerifier(pepper: Pepper, nonce: string): string {
  const key = hkdfSync("sha256", pepper, "", "oauth2 code verifier", 32);
  return createHmac("sha256", Buffer.from(key)).update(nonce).digest("base64url");
}
