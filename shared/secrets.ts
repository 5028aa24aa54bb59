/**
 * Secrets at rest. The master key seals everything that must be read back (AES-256-GCM) and wraps the pepper;
 * the pepper keys the HMACs by which API keys are checked. A dump of a database without the master key gives
 * away no key.
 *
 * While it is rotated the master key is several keys of 32 bytes: the first one seals, each of them unseals.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ConfigurationError } from "./errors.ts";

/** One object for the life of a process: what is read anew takes the place of `keys`. */
export interface MasterKey {
  keys: readonly Buffer[];
}
export type Pepper = Buffer & { readonly pepper?: never };

const keyBytes = 32;
const ivBytes = 12;
const tagBytes = 16;
const sealedVersion = "v2";
/** As sealed before there were fingerprints: iv, ciphertext and tag alone. */
const oldSealedVersion = "v1";

const fingerprints = new WeakMap<Buffer, string>();

/** 16 hex digits that tell master keys apart and say nothing of them. Each key's is worked out once. */
export function keyFingerprint(key: Buffer): string {
  let fingerprint = fingerprints.get(key);
  if (fingerprint === undefined) {
    fingerprint = createHmac("sha256", key).update("switchyard master key").digest("hex").slice(0, 16);
    fingerprints.set(key, fingerprint);
  }
  return fingerprint;
}

/** What everything sealed under this key starts with. */
export const sealedPrefix = (fingerprint: string): string => `${sealedVersion}.${fingerprint}.`;

/** The same for what was sealed before there were fingerprints. */
export const unmarkedPrefix = `${oldSealedVersion}.`;

export const newMasterKey = (): Buffer => randomBytes(keyBytes);

/**
 * `v2.`, the master key's fingerprint, `.`, and base64url of iv (12 bytes), ciphertext, tag (16 bytes).
 * `purpose` is authenticated with it.
 */
export function seal({ keys }: MasterKey, purpose: string, plaintext: string | Buffer): string {
  const key = keys[0]!;
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  cipher.setAAD(Buffer.from(purpose, "utf8"));
  const sealed = Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return sealedPrefix(keyFingerprint(key)) + sealed.toString("base64url");
}

/** Throws where none of the keys sealed it, where the purpose is another, or the text was changed. */
export function unseal({ keys }: MasterKey, purpose: string, sealed: string): Buffer {
  const [version, ...rest] = sealed.split(".");
  const [fingerprint, text] = version === oldSealedVersion ? [null, rest[0]] : rest;
  if ((version !== sealedVersion && version !== oldSealedVersion) || text === undefined) {
    throw new Error("not a sealed value");
  }
  const candidates = fingerprint === null ? keys : keys.filter((key) => keyFingerprint(key) === fingerprint);
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length < ivBytes + tagBytes) throw new Error("a sealed value is too short");
  let problem: unknown = null;
  for (const key of candidates) {
    try {
      return unsealWith(key, purpose, bytes);
    } catch (error) {
      problem = error;
    }
  }
  throw problem ?? new Error("sealed under a master key that is not here");
}

function unsealWith(key: Buffer, purpose: string, bytes: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, ivBytes));
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

/** Where a plane finds its master key. */
export interface MasterKeySource {
  /** `SWITCHYARD_MASTER_KEY`: 64 hex digits or base64 of 32 bytes; several, comma-separated, in a rotation. */
  given: string | undefined;
  /** `master.key` in the data folder, looked at where nothing is given: the same, one key a line. */
  file: string;
}

export const masterKeyFile = (dataDir: string): string => join(dataDir, "master.key");

/** Throws `ConfigurationError` where there is none, or none that can be read. With `mayCreate` makes the file. */
export function loadMasterKey(options: MasterKeySource & { mayCreate: boolean }): MasterKey {
  const { file } = options;
  if (options.given !== undefined || existsSync(file)) return { keys: readMasterKeys(options) };
  if (!options.mayCreate) {
    throw new ConfigurationError(
      `No master key: set SWITCHYARD_MASTER_KEY, or put the control plane's ${file} there.`,
    );
  }
  mkdirSync(dirname(file), { recursive: true });
  const key = newMasterKey();
  writeFileSync(file, `${key.toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  return { keys: [key] };
}

/** The keys as they are now, the one that seals first. */
export const readMasterKeys = ({ given, file }: MasterKeySource): Buffer[] =>
  given === undefined
    ? parseMasterKeys(readFileSync(file, "utf8"), file).map(({ key }) => key)
    : parseMasterKeys(given, "SWITCHYARD_MASTER_KEY").map(({ key }) => key);

export interface MasterKeyLine {
  key: Buffer;
  /** When a rotation made it; null for the first key of all. */
  madeAtMs: number | null;
}

/** What follows a `#` in a line is a note: of a key that a rotation made, when. */
export function parseMasterKeys(text: string, from: string): MasterKeyLine[] {
  const lines = text
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0) throw new ConfigurationError(`${from} has no master key in it.`);
  return lines.map((line) => {
    const [encoded = "", note = ""] = line.split("#").map((part) => part.trim());
    const madeAtMs = Date.parse(note.replace(/^made /, ""));
    return { key: decodeMasterKey(encoded, from), madeAtMs: Number.isNaN(madeAtMs) ? null : madeAtMs };
  });
}

/** Replaces the file as one: who reads it meanwhile sees all of the old lines, or all of the new. */
export function writeMasterKeys(file: string, lines: readonly MasterKeyLine[]): void {
  const text = lines.map(({ key, madeAtMs }) =>
    madeAtMs === null
      ? key.toString("hex")
      : `${key.toString("hex")} # made ${new Date(madeAtMs).toISOString()}`,
  );
  writeFileSync(`${file}.new`, `${text.join("\n")}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
  // What is sealed next may reach the disk first: without its key it would be lost.
  const folder = openSync(dirname(file), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function decodeMasterKey(text: string, from: string): Buffer {
  const key = /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, "hex") : Buffer.from(text, "base64");
  if (key.length !== keyBytes) {
    throw new ConfigurationError(
      `${from} is not a master key: it must be 32 bytes as 64 hex digits or base64.`,
    );
  }
  return key;
}
