/**
 * API keys: which ones a request must show for a flow, and whether one that it sent is valid.
 *
 * A key that was sent is turned into its HMAC under the secret pepper. A map finds the flow's key with the same
 * first half, however many keys there are, and the whole is compared in constant time. How long the map takes can
 * depend on the HMAC only, and without the pepper nobody can choose or foresee that.
 */
import { timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import { type Definition, type Flow, securityTypeOf } from "../shared/definition.ts";
import type { InstanceEntity, IntegrationEntity, KeyEntity } from "../shared/feed.ts";
import { keyHmac, type Pepper } from "../shared/secrets.ts";

/** What a request shows: HMACs are all that is journaled or kept of the keys. */
export interface SentKeys {
  readonly hmacs: readonly string[];
  /** The keys themselves, in the same order: in memory, and only until they are checked. */
  readonly texts: readonly string[];
}

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

/** Turns keys into HMACs, and remembers those of keys that were valid lately: a map lookup instead of an HMAC. */
export interface KeyReader {
  /** `header`: the Api-Key header's value, several headers joined with commas. */
  read(pepper: Pepper, header: string | undefined): SentKeys;
  /** To be called with keys that were found valid, and with no others: wrong ones would fill the memory. */
  remember(sent: SentKeys, valid: readonly KeyEntity[]): void;
}

/** More keys than this in one header are not looked at. */
const keysSentMax = 4;
/** At 300 characters of key and HMAC at most, 30 MB at most. */
const rememberedMax = 50_000;
const noKeys: SentKeys = { hmacs: [], texts: [] };

/**
 * Only the HMAC is remembered, never that a key is valid: whether it still is, is looked up at each use in the
 * flow's keys as they are then, so nothing has to be forgotten when a key is revoked or expires.
 */
export function createKeyReader(): KeyReader {
  const remembered = new LRUCache<string, string>({ max: rememberedMax });
  let pepperOfRemembered: Pepper | null = null;
  return {
    read(pepper, header) {
      if (header === undefined) return noKeys;
      if (pepper !== pepperOfRemembered) {
        if (pepperOfRemembered === null || !pepper.equals(pepperOfRemembered)) remembered.clear();
        pepperOfRemembered = pepper;
      }
      const texts = keysIn(header);
      return { texts, hmacs: texts.map((key) => remembered.get(key) ?? keyHmac(pepper, key)) };
    },
    remember({ hmacs, texts }, valid) {
      for (const { hmac } of valid) {
        const text = texts[hmacs.indexOf(hmac)];
        if (text !== undefined && !remembered.has(text)) remembered.set(text, hmac);
      }
    },
  };
}

function keysIn(header: string): string[] {
  if (!header.includes(",")) return header.trim() === "" ? [] : [header.trim()];
  return header
    .split(",", keysSentMax)
    .map((key) => key.trim())
    .filter((key) => key !== "");
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
      return { isNeeded: indexOf(own).hasUnrevoked, lists: [own] };
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
      const key = findKey(indexOf(list), hmac);
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

const hmacHalf = 22;

interface KeyIndex {
  /** By the first half of the HMAC (132 bits: two keys never share it). */
  byHalf: ReadonlyMap<string, { key: KeyEntity; bytes: Buffer }>;
  hasUnrevoked: boolean;
}

/** Made once for each list, and gone with it: a list is part of a compiled instance or integration. */
const indexes = new WeakMap<readonly KeyEntity[], KeyIndex>();

function findKey({ byHalf }: KeyIndex, hmac: string): KeyEntity | undefined {
  const found = byHalf.get(hmac.slice(0, hmacHalf));
  if (found === undefined) return undefined;
  const bytes = Buffer.from(hmac, "base64url");
  const isSame = bytes.length === found.bytes.length && timingSafeEqual(bytes, found.bytes);
  return isSame ? found.key : undefined;
}

function indexOf(keys: readonly KeyEntity[]): KeyIndex {
  let index = indexes.get(keys);
  if (index === undefined) {
    index = {
      byHalf: new Map(
        keys.map((key) => [key.hmac.slice(0, hmacHalf), { key, bytes: Buffer.from(key.hmac, "base64url") }]),
      ),
      hasUnrevoked: keys.some((key) => !isRevoked(key)),
    };
    indexes.set(keys, index);
  }
  return index;
}
