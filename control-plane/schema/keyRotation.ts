/**
 * Rotating a key: the new one is valid at once, the old one for a grace, so that senders switch without one
 * refused webhook.
 */
import { z } from "zod";
import { newSecret } from "../../shared/ids.ts";
import { isAcceptableKey } from "../../shared/secrets.ts";
import { viewerName } from "../context.ts";
import { type ApiKeyRow, insertKey, isValidKey, keysOf, successorOf, updateKey } from "../store/apiKeys.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { endedWord, keyToChange, presentKey } from "./apiKeys.ts";
import { nameCheck } from "./inputs.ts";
import { ApiKey } from "./instanceRefs.ts";
import { keyRule, keysInRotationMax, refuseDuplicate, touchOwner } from "./keyRules.ts";
import { InputError, mutation } from "./payloads.ts";

/** A day: time to bring the new key to where the old one is used. */
const graceDefaultSeconds = 86_400;
const graceMaxSeconds = 30 * 86_400;
const graceRule = `A whole number of seconds from 0 to ${graceMaxSeconds}.`;

mutation("rotateApiKey", {
  description:
    "Makes a key that takes the place of another, which stays valid for the grace (or until its own expiry, if " +
    "that is earlier). The new key lives as long as the old one was to. It is in the answer, and never shown again.",
  authScopes: { keyManager: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The id of the key to replace." }),
    graceSeconds: t.int({
      description: `How long the old key stays valid, in seconds; 0 revokes it at once. ${graceDefaultSeconds} by default, ${graceMaxSeconds} at most.`,
    }),
    key: t.string({ description: `The new key, where it is brought along. ${keyRule}` }),
    name: t.string({ description: "What the new key is for; the old one's name by default." }),
  }),
  check: z.object({
    graceSeconds: z.number().min(0, graceRule).max(graceMaxSeconds, graceRule).nullish(),
    key: z.string().refine(isAcceptableKey, keyRule).nullish(),
    name: nameCheck.nullish(),
  }),
  resolve: async (input, context) => {
    const { store, feed } = context;
    const { id } = await keyToChange(context, input.id);
    const key = input.key ?? newSecret("swk_");
    const graceMs = (input.graceSeconds ?? graceDefaultSeconds) * 1000;
    const { made, previous, version } = await feed.transact(async (transaction) => {
      const old = await presentKey(transaction, id);
      refuseEnded(old);
      if ((await successorOf(transaction, old)) !== undefined) {
        throw new InputError("id", "The key was rotated already: rotate the one that took its place.");
      }
      const { ownerType, ownerId, stableKey } = old;
      const owner = { ownerType, ownerId, stableKey };
      const valid = (await keysOf(transaction, owner)).filter((row) => isValidKey(row));
      if (valid.length >= keysInRotationMax) {
        throw new InputError("id", `A flow has at most ${keysInRotationMax} valid keys. Revoke one first.`);
      }
      await refuseDuplicate(transaction, store, owner, key);
      const made = await insertKey(transaction, store, owner, {
        key,
        name: input.name?.trim() || old.name,
        createdBy: viewerName(context),
        expiresAtMs: sameLifetime(old),
        rotatedFromId: old.id,
      });
      const ending = endOf(old, graceMs);
      await updateKey(transaction, old.id, ending);
      return { made, previous: { ...old, ...ending }, version: await touchOwner(transaction, owner) };
    });
    return {
      apiKey: made,
      key,
      previousApiKey: previous,
      pendingDataPlanes: await waitForDataPlanes(context, version),
    };
  },
  output: (t) => ({
    apiKey: t.expose("apiKey", { type: ApiKey, nullable: true, description: "The new key's record." }),
    key: t.exposeString("key", { nullable: true, description: "The new key itself: shown here only." }),
    previousApiKey: t.expose("previousApiKey", {
      type: ApiKey,
      nullable: true,
      description: "The old key's record: `expiresAt` is the end of its grace.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description:
        "The data planes that do not accept the new key yet: switch the senders when there are none.",
    }),
  }),
});

function refuseEnded(row: ApiKeyRow): void {
  if (isValidKey(row)) return;
  throw new InputError("id", `The key is ${endedWord(row)}, so it can't be rotated: make another instead.`);
}

/** The old key's expiry policy for a key that is made now. */
const sameLifetime = (old: ApiKeyRow): number | null =>
  old.expiresAtMs === null ? null : Date.now() + Math.max(old.expiresAtMs - old.createdAtMs, 0);

/** The earlier of the old key's own expiry and the grace's end. */
function endOf(old: ApiKeyRow, graceMs: number): Pick<ApiKeyRow, "expiresAtMs" | "revokedAtMs"> {
  const nowMs = Date.now();
  if (graceMs === 0) return { expiresAtMs: old.expiresAtMs, revokedAtMs: nowMs };
  return {
    expiresAtMs: Math.min(old.expiresAtMs ?? Number.POSITIVE_INFINITY, nowMs + graceMs),
    revokedAtMs: null,
  };
}
