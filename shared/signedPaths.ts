/**
 * Signed addresses: each opens one object, for one purpose, for a while. The signature is an HMAC under a key
 * that is derived from the pepper: nothing is stored, any control plane of the store can check it, and a new
 * master key does not end it.
 */
import { createHmac, hkdfSync } from "node:crypto";
import { equalInConstantTime, type Pepper } from "./secrets.ts";

/** `purpose` keeps an address for one thing from opening another; `subject` is what it opens. */
export function signPath(pepper: Pepper, purpose: string, subject: string, lifetimeMs: number): string {
  const body = Buffer.from(JSON.stringify([subject, Date.now() + lifetimeMs])).toString("base64url");
  return `${body}.${signature(pepper, purpose, body)}`;
}

/** The subject, or null where the path was not signed by us for this purpose, or is too old. */
export function readSignedPath(pepper: Pepper, purpose: string, signed: string): string | null {
  const [body, sent, ...rest] = signed.split(".");
  if (body === undefined || sent === undefined || rest.length > 0) return null;
  if (!equalInConstantTime(sent, signature(pepper, purpose, body))) return null;
  const [subject, expiresAtMs] = JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as [
    string,
    number,
  ];
  return Date.now() < expiresAtMs ? subject : null;
}

function signature(pepper: Pepper, purpose: string, body: string): string {
  const key = hkdfSync("sha256", pepper, "", `signed path: ${purpose}`, 32);
  return createHmac("sha256", Buffer.from(key)).update(body).digest("base64url");
}
