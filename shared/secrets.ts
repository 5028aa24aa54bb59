/**
 * Secrets at rest. One master key (32 bytes) seals everything that must be read back (AES-256-GCM) and
 * wraps the pepper; the pepper keys the HMACs by which API keys are checked. A dump of a database without
 * the master key gives away no key.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ConfigurationError } from "./errors.ts";

export type MasterKey = Buffer & { readonly masterKey?: never };
export type Pepper = Buffer & { readonly pepper?: never };

const keyBytes = 32;
const ivBytes = 12;
const tagBytes = 16;
const sealedVersion = "v1.";

/** `v1.` and base64url of iv (12 bytes), ciphertext, tag (16 bytes). `purpose` is authenticated with it. */
export function seal(masterKey: MasterKey, purpose: string, plaintext: string | Buffer): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", masterKey, iv);
  cipher.setAAD(Buffer.from(purpose, "utf8"));
  const sealed = Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return sealedVersion + sealed.toString("base64url");
}

/** Throws where the master key or the purpose is another, or the text was changed. */
export function unseal(masterKey: MasterKey, purpose: string, sealed: string): Buffer {
  if (!sealed.startsWith(sealedVersion)) throw new Error("not a sealed value");
  const bytes = Buffer.from(sealed.slice(sealedVersion.length), "base64url");
  if (bytes.length < ivBytes + tagBytes) throw new Error("a sealed value is too short");
  const decipher = createDecipheriv("aes-256-gcm", masterKey, bytes.subarray(0, ivBytes));
  decipher.setAAD(Buffer.from(purpose, "utf8"));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  return Buffer.concat([decipher.update(bytes.subarray(ivBytes, bytes.length - tagBytes)), decipher.final()]);
}

export const newPepper = (): Pepper => randomBytes(keyBytes);
export const wrapPepper = (masterKey: MasterKey, pepper: Pepper): string => seal(masterKey, "pepper", pepper);
export const unwrapPepper = (masterKey: MasterKey, wrapped: string): Pepper =>
  unseal(masterKey, "pepper", wrapped);

/** HMAC-SHA256 of an API key under the pepper, base64url (43 characters). */
export function keyHmac(pepper: Pepper, key: string): string {
  return createHmac("sha256", pepper).update(key, "utf8").digest("base64url");
}

/** SHA-256 of a bearer token, base64url: tokens have 256 random bits, so a plain hash is enough. */
export const tokenHash = (token: string): string =>
  createHash("sha256").update(token, "utf8").digest("base64url");

export const sha256Hex = (bytes: string | Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex");

/** Compares two texts in a time that does not depend on where they differ. */
export function equalInConstantTime(a: string, b: string): boolean {
  const left = Buffer.from(a, "utf8");
  const right = Buffer.from(b, "utf8");
  return left.length === right.length && timingSafeEqual(left, right);
}

/** What the API shows of a key after it was made: `prefix••••last4`. */
export const maskKey = (prefix: string, last4: string): string => `${prefix}••••${last4}`;
export const isMask = (text: string): boolean => text.includes("••••");

const keyPattern = /^[\x21-\x2b\x2d-\x7e]{16,256}$/;
/** 16 to 256 visible ASCII characters and no comma: several keys may be sent in one header, comma-separated. */
export const isAcceptableKey = (key: string): boolean => keyPattern.test(key);
export const keyPrefix = (key: string): string => key.slice(0, 6);
export const keyLast4 = (key: string): string => key.slice(-4);

/**
 * The master key: `SWITCHYARD_MASTER_KEY` (64 hex digits or base64 of 32 bytes) or, when unset, the file
 * `master.key` in the data folder, made with mode 0600 when `mayCreate`.
 */
export function loadMasterKey(options: {
  given: string | undefined;
  file: string;
  mayCreate: boolean;
}): MasterKey {
  if (options.given !== undefined) return decodeMasterKey(options.given, "SWITCHYARD_MASTER_KEY");
  if (existsSync(options.file))
    return decodeMasterKey(readFileSync(options.file, "utf8").trim(), options.file);
  if (!options.mayCreate) {
    throw new ConfigurationError(
      `No master key: set SWITCHYARD_MASTER_KEY, or put the control plane's ${options.file} there.`,
    );
  }
  mkdirSync(dirname(options.file), { recursive: true });
  const key = randomBytes(keyBytes);
  writeFileSync(options.file, `${key.toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  return key;
}

function decodeMasterKey(text: string, from: string): MasterKey {
  const key = /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, "hex") : Buffer.from(text, "base64");
  if (key.length !== keyBytes) {
    throw new ConfigurationError(
      `${from} is not a master key: it must be 32 bytes as 64 hex digits or base64.`,
    );
  }
  return key;
}
