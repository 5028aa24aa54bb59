/** API keys: which ones a request must show for a flow, and whether one that it sent is valid. */
import { timingSafeEqual } from "node:crypto";
import { type Definition, type Flow, securityTypeOf } from "../shared/definition.ts";
import type { InstanceEntity, IntegrationEntity, KeyEntity } from "../shared/feed.ts";
import { keyHmac, type Pepper } from "../shared/secrets.ts";

/** More keys than this in one header are not looked at. */
const keysSentMax = 4;

/** HMACs of the keys in an Api-Key header: the value itself goes no further than this. */
export function hmacsOf(pepper: Pepper, header: string | undefined): string[] {
  if (header === undefined) return [];
  return header
    .split(",", keysSentMax)
    .map((key) => key.trim())
    .filter((key) => key !== "")
    .map((key) => keyHmac(pepper, key));
}

export interface KeyRule {
  isNeeded: boolean;
  keys: readonly KeyEntity[];
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
      return { isNeeded: false, keys: [] };
    case "customer_optional":
      return { isNeeded: own.some((key) => key.revokedAtMs === null), keys: own };
    case "customer_required":
      return { isNeeded: true, keys: own };
    case "organization": {
      const organization = integration.organizationKeys[flow.stableKey] ?? [];
      // A draft's organization keys are keys of its system instance until it is published.
      return { isNeeded: true, keys: instance?.isSystem ? [...organization, ...own] : organization };
    }
  }
}

/** True where the rule is met. Every key is compared, so the time does not tell which one matched. */
export function isAuthorized(rule: KeyRule, sentHmacs: readonly string[], nowMs: number): boolean {
  if (!rule.isNeeded) return true;
  let isValid = false;
  for (const sent of sentHmacs) {
    const sentBytes = Buffer.from(sent, "base64url");
    for (const key of rule.keys) {
      const keyBytes = Buffer.from(key.hmac, "base64url");
      const isSame = keyBytes.length === sentBytes.length && timingSafeEqual(keyBytes, sentBytes);
      if (isSame && key.revokedAtMs === null && (key.expiresAtMs === null || key.expiresAtMs > nowMs)) {
        isValid = true;
      }
    }
  }
  return isValid;
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
