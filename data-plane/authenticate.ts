/**
 * API keys: which ones a request must show for a flow, and whether one that it sent is valid.
 *
 * A key that was sent is turned into its HMAC under the secret pepper, and that is compared in constant time: with
 * each key of a flow that has few, else with the one that a map finds by the first half, however many there are.
 * How long the map takes can depend on the HMAC only, and without the pepper nobody can choose or foresee that.
 */
import { hash, timingSafeEqual } from "node:crypto";
import { type Definition, type Flow, securityTypeOf } from "../shared/definition.ts";
import type { InstanceEntity, IntegrationEntity, KeyEntity } from "../shared/feed.ts";
import { keyHmac, type Pepper } from "../shared/secrets.ts";

/** Why keys don't meet a rule. Senders are told the same for all; the organization reads which. */
export type KeyProblem =
  | { kind: "missing" }
  | { kind: "wrong" }
  | { kind: "revoked"; key: KeyEntity }
  | { kind: "expired"; key: KeyEntity };

/** `valid`: the keys that were sent and count; empty where none was needed. */
export type KeyVerdict = { ok: true; valid: readonly KeyEntity[] } | { ok: false; problem: KeyProblem };

export interface KeyRule {
  isNeeded: boolean;
  lists: readonly (readonly KeyEntity[])[];
}

/** Turns the keys of a request into their HMACs, which are all that is journaled or kept of them. */
export interface KeyReader {
  /** `header`: the Api-Key header's value, several headers joined with commas. */
  read(header: string | undefined): readonly string[];
}

/** More keys than this in one header are not looked at. */
const keysSentMax = 4;
const noKeys: readonly string[] = [];

export function createKeyReader(pepper: Pepper): KeyReader {
  const hmacOf = createHmacOfKey(pepper);
  return {
    read(header) {
      if (header === undefined) return noKeys;
      if (!header.includes(",")) {
        const key = header.trim();
        return key === "" ? noKeys : [hmacOf(key)];
      }
      return header
        .split(",", keysSentMax)
        .map((key) => key.trim())
        .filter((key) => key !== "")
        .map(hmacOf);
    },
  };
}

const blockBytes = 64;
const hashBytes = 32;
const shortKeyBytesMax = 1024;

/**
 * The same as `keyHmac`, out of two plain hashes over buffers that are used again: 0.75 µs instead of the 1.8 µs
 * that an object of `createHmac` takes. (Remembering the HMACs of 100,000 keys took 1.5 µs a look-up, since hardly
 * one of them is in the processor's cache; so nothing is remembered.)
 */
function createHmacOfKey(pepper: Pepper): (key: string) => string {
  const inner = Buffer.alloc(blockBytes + shortKeyBytesMax, 0x36);
  const outer = Buffer.alloc(blockBytes + hashBytes, 0x5c);
  for (let at = 0; at < pepper.length; at++) {
    inner[at]! ^= pepper[at]!;
    outer[at]! ^= pepper[at]!;
  }
  return (key) => {
    // At three bytes a character at most it fits.
    if (key.length * 3 > shortKeyBytesMax || pepper.length > blockBytes) return keyHmac(pepper, key);
    const end = blockBytes + inner.write(key, blockBytes, "utf8");
    // As a text of single bytes: making a buffer of it costs more than both hashes.
    outer.write(hash("sha256", inner.subarray(0, end), "binary"), blockBytes, "latin1");
    return hash("sha256", outer, "base64url");
  };
}

/** `instance` is null for the preprocess flow of a shared endpoint, which belongs to no customer. */
export function keyRule(
  definition: Definition,
  flow: Flow,
  instance: InstanceEntity | null,
  integration: IntegrationEntity,
): KeyRule {
  const own = instance?.flows[flow.stableKey]?.keys ?? [];
  switch (securityTypeOf(definition, flow)) {
    case "unsecured":
      return { isNeeded: false, lists: [] };
    case "customer_optional":
      return { isNeeded: own.some((key) => !isRevoked(key)), lists: [own] };
    case "customer_required":
      return { isNeeded: true, lists: [own] };
    case "organization": {
      const organization = integration.organizationKeys[flow.stableKey] ?? [];
      // A draft's organization keys are keys of its system instance until it is published.
      return { isNeeded: true, lists: instance?.isSystem ? [organization, own] : [organization] };
    }
  }
}

/** Whether keys meet a rule at this moment; the data plane's own clock decides what has expired. */
export function checkKeys(rule: KeyRule, sentHmacs: readonly string[], nowMs: number): KeyVerdict {
  if (!rule.isNeeded) return { ok: true, valid: [] };
  if (sentHmacs.length === 0) return { ok: false, problem: { kind: "missing" } };
  const valid: KeyEntity[] = [];
  let problem: KeyProblem = { kind: "wrong" };
  for (const hmac of sentHmacs) {
    for (const list of rule.lists) {
      const key = findKey(list, hmac);
      if (key === undefined) continue;
      if (isRevoked(key)) problem = { kind: "revoked", key };
      else if (key.expiresAtMs !== null && key.expiresAtMs <= nowMs) problem = { kind: "expired", key };
      else valid.push(key);
    }
  }
  return valid.length > 0 ? { ok: true, valid } : { ok: false, problem };
}

/** True where no flow could be reached without a key, whatever the request says. */
export function everyFlowNeedsKey(
  flows: Iterable<Flow>,
  definition: Definition,
  instance: InstanceEntity | null,
  integration: IntegrationEntity,
): boolean {
  for (const flow of flows) {
    if (!keyRule(definition, flow, instance, integration).isNeeded) return false;
  }
  return true;
}

/** In a replica of an earlier release the field is not there: what it held were keys that were not revoked. */
const isRevoked = ({ revokedAtMs }: KeyEntity): boolean => (revokedAtMs ?? null) !== null;

/** Up to here all of a list's keys are compared; for longer lists a map is made. */
const shortListMax = 8;
const hmacHalf = 22;
/** The first half of the HMAC (132 bits: two keys never share it) to the key. */
type KeyIndex = ReadonlyMap<string, KeyEntity>;

/** Made once for each list, and gone with it: a list is part of a compiled instance or integration. */
const indexes = new WeakMap<readonly KeyEntity[], KeyIndex>();

function findKey(keys: readonly KeyEntity[], hmac: string): KeyEntity | undefined {
  if (keys.length > shortListMax) {
    const found = indexOf(keys).get(hmac.slice(0, hmacHalf));
    return found !== undefined && isSame(found.hmac, hmac) ? found : undefined;
  }
  let found: KeyEntity | undefined;
  for (const key of keys) if (isSame(key.hmac, hmac)) found = key;
  return found;
}

/** Of 32 bytes in base64url. */
const hmacLength = 43;
/** Two buffers that are used again: making them for each comparison costs more than it does. */
const compared = [Buffer.alloc(hmacLength), Buffer.alloc(hmacLength)] as const;

/** In a time that does not depend on where they differ. */
function isSame(a: string, b: string): boolean {
  if (a.length !== hmacLength || b.length !== hmacLength) return false;
  const [left, right] = compared;
  left.write(a, 0, "latin1");
  right.write(b, 0, "latin1");
  return timingSafeEqual(left, right);
}

function indexOf(keys: readonly KeyEntity[]): KeyIndex {
  let index = indexes.get(keys);
  if (index === undefined) {
    index = new Map(keys.map((key) => [key.hmac.slice(0, hmacHalf), key]));
    indexes.set(keys, index);
  }
  return index;
}
