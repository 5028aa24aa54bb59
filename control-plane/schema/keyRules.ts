/** What holds for the keys of a flow, however they are written. */
import { securityTypeOf } from "../../shared/definition.ts";
import { type ApiKeyRow, findKey, isValidKey, type KeyOwner, keysOf } from "../store/apiKeys.ts";
import { readDefinition } from "../store/configuredVersions.ts";
import { touchInstance, touchIntegration } from "../store/feedVersions.ts";
import type { ConfigTransaction, Store } from "../store/store.ts";
import { InputError } from "./payloads.ts";
import type { InstanceRow } from "./refs.ts";

/** One sentence for what `isAcceptableKey` checks. */
export const keyRule = "A key must be 16 to 256 visible ASCII characters without a comma.";
export const keysPerFlowMax = 50;
/** With those that are in the grace of a rotation, so that a full flow can be rotated, too. */
export const keysInRotationMax = 100;

/** Throws where the owner has this very key for the flow: not said is whether it is valid, revoked or expired. */
export async function refuseDuplicate(
  transaction: ConfigTransaction,
  store: Store,
  owner: KeyOwner,
  key: string,
): Promise<void> {
  if ((await findKey(transaction, store, owner, key)) === undefined) return;
  throw new InputError("key", "This key can't be used. Choose another.");
}

/** After any change of a key: the data planes must hear of its owner. Returns the feed's new version. */
export const touchOwner = (
  transaction: ConfigTransaction,
  { ownerType, ownerId }: Pick<ApiKeyRow, "ownerType" | "ownerId">,
): Promise<number> =>
  ownerType === "INSTANCE" ? touchInstance(transaction, ownerId) : touchIntegration(transaction, ownerId);

/** Throws where the flow would be left without a key although its deployed version needs one of the customer. */
export async function refuseWithoutKey(
  transaction: ConfigTransaction,
  instance: InstanceRow,
  stableKey: string,
  field: string,
): Promise<void> {
  if (instance.deployedVersionId === null) return;
  const version = await transaction
    .selectFrom("versions")
    .select("definitionDigest")
    .where("id", "=", instance.deployedVersionId)
    .executeTakeFirst();
  if (version === undefined) return;
  const definition = await readDefinition(transaction, version.definitionDigest);
  const flow = definition.flows.find((candidate) => candidate.stableKey === stableKey);
  if (flow === undefined || securityTypeOf(definition, flow) !== "customer_required") return;
  const keys = await keysOf(transaction, { ownerType: "INSTANCE", ownerId: instance.id, stableKey });
  if (keys.some((row) => isValidKey(row))) return;
  throw new InputError(
    field,
    `Flow "${flow.name}" needs a key, and this is the last one of a deployed instance. Make another key first.`,
  );
}
