/** API keys: made by us or brought along, shown in the clear once, revoked for good. */
import { z } from "zod";
import { securityTypeOf } from "../../shared/definition.ts";
import { isUuid, newSecret } from "../../shared/ids.ts";
import { isAcceptableKey } from "../../shared/secrets.ts";
import { type Context, isAdmin, isOrganization, maySeeCustomer, viewerName } from "../context.ts";
import {
  type ApiKeyRow,
  insertKey,
  isValidKey,
  type KeyOwner,
  type KeyStatus,
  keyById,
  keyStatus,
  keysOf,
  maskOf,
  successorOf,
  updateKey,
} from "../store/apiKeys.ts";
import { readDefinition } from "../store/configuredVersions.ts";
import type { ConfigTransaction } from "../store/store.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { inputId, nameCheck, notFound, requiredId } from "./inputs.ts";
import { ApiKey, InstanceFlowConfig } from "./instanceRefs.ts";
import { keyRule, keysPerFlowMax, refuseDuplicate, refuseWithoutKey, touchOwner } from "./keyRules.ts";
import { InputError, mutation } from "./payloads.ts";
import { Instance, type InstanceRow, Integration, IntegrationFlow, User } from "./refs.ts";
import { loadUsers } from "./users.ts";

const statuses: Record<KeyStatus, { description: string }> = {
  ACTIVE: { description: "Accepted now; in the grace of a rotation, too." },
  EXPIRED: { description: "Its time is over." },
  REVOKED: { description: "Revoked for good." },
};

export const ApiKeyStatus = builder.enumType("ApiKeyStatus", {
  description: "Whether a key is accepted, and if not, why.",
  values: statuses,
});

builder.node(ApiKey, {
  description: "A key that webhook senders show in the Api-Key header.",
  // Whose instance a key is for was checked on the way here.
  authScopes: ({ ownerType }) => (ownerType === "INSTANCE" ? { signedIn: true } : { organization: true }),
  id: { resolve: (key) => key.id },
  isTypeOf: undefined,
  loadOne: async (id, context) => (await visibleKey(context, id))?.row ?? null,
  fields: (t) => ({
    name: t.exposeString("name", { description: "What the key is for." }),
    prefix: t.exposeString("prefix", { description: "The key's first six characters." }),
    last4: t.exposeString("last4", { description: "The key's last four characters." }),
    status: t.field({
      type: ApiKeyStatus,
      description: "Whether the key is accepted now, and if not, why.",
      resolve: (key) => keyStatus(key),
    }),
    mask: t.string({ description: "The key's start and end: all that is shown of it.", resolve: maskOf }),
    createdAt: t.field({
      type: "DateTime",
      description: "When the key was made.",
      resolve: (key) => key.createdAtMs,
    }),
    createdBy: t.exposeString("createdBy", { description: "Who made the key." }),
    creator: t.field({
      type: User,
      nullable: true,
      description: "The user who made the key; null where it was the first admin token, or an import.",
      resolve: async (key, _args, context) => {
        const [user] = isUuid(key.createdBy) ? await loadUsers([key.createdBy], context) : [];
        if (user == null) return null;
        return maySeeCustomer(context, user.customerId) ? user : null;
      },
    }),
    lastUsedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When a request last showed the key; at most a minute old.",
      resolve: (key) => key.lastUsedAtMs,
    }),
    expiresAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When the key stops being valid; null where it does not expire.",
      resolve: (key) => key.expiresAtMs,
    }),
    revokedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When the key was revoked.",
      resolve: (key) => key.revokedAtMs,
    }),
    isValid: t.boolean({
      description: "Whether the key is accepted now.",
      resolve: (key) => isValidKey(key),
    }),
    isOrganizationKey: t.boolean({
      description: "Whether it is the organization's key for this flow of all instances.",
      resolve: (key) => key.ownerType === "INTEGRATION",
    }),
    flowStableKey: t.exposeString("stableKey", { description: "The stable key of the flow that it opens." }),
    rotatedFrom: t.field({
      type: ApiKey,
      nullable: true,
      description: "The key that this one took the place of.",
      resolve: async (key, _args, { store }) =>
        key.rotatedFromId === null ? null : ((await keyById(store.config, key.rotatedFromId)) ?? null),
    }),
    replacedBy: t.field({
      type: ApiKey,
      nullable: true,
      description: "The key that took this one's place: this one is valid until `expiresAt`, and no longer.",
      resolve: async (key, _args, { store }) => (await successorOf(store.config, key)) ?? null,
    }),
  }),
});

export const ApiKeyConnection = builder.connectionObject(
  { type: ApiKey, name: "ApiKeyConnection", description: "A page of API keys." },
  { name: "ApiKeyEdge", description: "An API key with its cursor." },
);

/** The keys that the arguments ask for. */
function filtered(
  keys: ApiKeyRow[],
  { isValid, status }: { isValid?: boolean | null | undefined; status?: KeyStatus | null | undefined },
): ApiKeyRow[] {
  return keys.filter(
    (key) =>
      (isValid == null || isValidKey(key) === isValid) && (status == null || keyStatus(key) === status),
  );
}

builder.objectField(InstanceFlowConfig, "keys", (t) =>
  t.connection(
    {
      type: ApiKey,
      description: "The customer's keys of this flow, the oldest first; revoked ones among them.",
      args: {
        isValid: t.arg.boolean({ description: "Only those that are accepted now, or only the others." }),
        status: t.arg({ type: ApiKeyStatus, description: "Only those of this status." }),
      },
      resolve: async ({ row }, args, { store }) => {
        const keys = await keysOf(store.config, {
          ownerType: "INSTANCE",
          ownerId: row.instanceId,
          stableKey: row.stableKey,
        });
        return pageOfList(filtered(keys, args), args);
      },
    },
    ApiKeyConnection,
  ),
);

builder.objectField(Integration, "organizationKeys", (t) =>
  t.connection(
    {
      type: ApiKey,
      description: "The organization's keys of the integration's flows, valid in all its instances.",
      authScopes: { organization: true },
      args: {
        isValid: t.arg.boolean({ description: "Only those that are accepted now, or only the others." }),
        status: t.arg({ type: ApiKeyStatus, description: "Only those of this status." }),
      },
      resolve: async ({ integration }, args, { store }) => {
        const keys = await keysOf(store.config, { ownerType: "INTEGRATION", ownerId: integration.id });
        return pageOfList(filtered(keys, args), args);
      },
    },
    ApiKeyConnection,
  ),
);

builder.objectField(IntegrationFlow, "organizationKeys", (t) =>
  t.connection(
    {
      type: ApiKey,
      description: "The organization's keys of this flow, valid in all the integration's instances.",
      authScopes: { organization: true },
      resolve: async ({ owner, flow }, args, { store }) => {
        const keys = await keysOf(store.config, {
          ownerType: "INTEGRATION",
          ownerId: owner.integration.id,
          stableKey: flow.stableKey,
        });
        return pageOfList(keys, args);
      },
    },
    ApiKeyConnection,
  ),
);

const futureCheck = z.date().refine((date) => date.getTime() > Date.now(), "This moment has passed.");

mutation("createApiKey", {
  description:
    "Makes a key for one flow of an instance, or, with integration and flow, for that flow in all instances. " +
    "The key itself is in the answer, and never shown again.",
  authScopes: { keyManager: true },
  input: (t) => ({
    flowConfig: t.id({ description: "The instance's flow config that the key is for." }),
    integration: t.id({ description: "The integration, for a key of the organization." }),
    flow: t.string({ description: "With integration: the flow's id, stable key or name." }),
    name: t.string({ description: "What the key is for." }),
    key: t.string({ description: `The key, where it is brought along. ${keyRule}` }),
    expiresAt: t.field({ type: "DateTime", description: "When the key stops being valid." }),
  }),
  check: z.object({
    name: nameCheck.nullish(),
    key: z.string().refine(isAcceptableKey, keyRule).nullish(),
    expiresAt: futureCheck.nullish(),
  }),
  resolve: async (input, context) => {
    const { store, feed } = context;
    const owner = await keyOwner(input, context);
    const key = input.key ?? newSecret("swk_");
    const made = await feed.transact(async (transaction) => {
      const others = await keysOf(transaction, owner);
      if (others.filter((row) => isValidKey(row)).length >= keysPerFlowMax) {
        throw new InputError("flowConfig", `A flow has at most ${keysPerFlowMax} keys. Revoke one first.`);
      }
      await refuseDuplicate(transaction, store, owner, key);
      const row = await insertKey(transaction, store, owner, {
        key,
        name: input.name?.trim() || "API key",
        createdBy: viewerName(context),
        expiresAtMs: input.expiresAt?.getTime() ?? null,
      });
      return { row, version: await touchOwner(transaction, owner) };
    });
    return {
      apiKey: made.row,
      key,
      pendingDataPlanes: await waitForDataPlanes(context, made.version),
    };
  },
  output: (t) => ({
    apiKey: t.expose("apiKey", { type: ApiKey, nullable: true, description: "The new key's record." }),
    key: t.exposeString("key", { nullable: true, description: "The key itself: shown here only." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not accept the key yet.",
    }),
  }),
});

mutation("revokeApiKey", {
  description: "Revokes a key for good.",
  authScopes: { keyManager: true },
  input: (t) => ({ id: t.id({ required: true, description: "The key's id." }) }),
  resolve: async (input, context) => {
    const { id, instance } = await keyToChange(context, input.id);
    const { version, revoked } = await context.feed.transact(async (transaction) => {
      const row = await presentKey(transaction, id);
      const revokedAtMs = row.revokedAtMs ?? Date.now();
      await updateKey(transaction, id, { revokedAtMs });
      if (instance !== null && isValidKey(row)) {
        await refuseWithoutKey(transaction, instance, row.stableKey, "id");
      }
      return { version: await touchOwner(transaction, row), revoked: { ...row, revokedAtMs } };
    });
    return { apiKey: revoked, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    apiKey: t.expose("apiKey", { type: ApiKey, nullable: true, description: "The revoked key's record." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that still accept the key.",
    }),
  }),
});

mutation("updateApiKey", {
  description: "Changes a key's name, or when it expires. A key that has expired or was revoked stays so.",
  authScopes: { keyManager: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The key's id." }),
    name: t.string({ description: "What the key is for." }),
    expiresAt: t.field({
      type: "DateTime",
      description: "When the key stops being valid; null for a key that does not expire.",
    }),
  }),
  check: z.object({ name: nameCheck.nullish(), expiresAt: futureCheck.nullish() }),
  resolve: async (input, context) => {
    const { id } = await keyToChange(context, input.id);
    const { version, updated } = await context.feed.transact(async (transaction) => {
      const row = await presentKey(transaction, id);
      const isEnding = input.expiresAt !== undefined;
      if (isEnding && !isValidKey(row)) {
        throw new InputError("id", `The key is ${endedWord(row)}: make another instead.`);
      }
      const changes = {
        ...(input.name == null ? {} : { name: input.name.trim() }),
        ...(isEnding ? { expiresAtMs: input.expiresAt?.getTime() ?? null } : {}),
      };
      await updateKey(transaction, id, changes);
      // A name is nothing that data planes know.
      const version = isEnding ? await touchOwner(transaction, row) : null;
      return { version, updated: { ...row, ...changes } };
    });
    return {
      apiKey: updated,
      pendingDataPlanes: version === null ? [] : await waitForDataPlanes(context, version),
    };
  },
  output: (t) => ({
    apiKey: t.expose("apiKey", { type: ApiKey, nullable: true, description: "The key's record." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not go by the change yet.",
    }),
  }),
});

interface OwnerInput {
  flowConfig?: string | null | undefined;
  integration?: string | null | undefined;
  flow?: string | null | undefined;
}

async function keyOwner(input: OwnerInput, context: Context): Promise<KeyOwner> {
  if (input.flowConfig != null && input.integration == null) {
    const id = requiredId("InstanceFlowConfig", input.flowConfig, "flowConfig");
    const item = await loadFlowConfig(context, id);
    if (item === null) throw notFound("flowConfig", "flow config");
    const { instance, flow, configured } = item;
    if (
      flow !== null &&
      !instance.isSystem &&
      securityTypeOf(configured.definition, flow) === "organization"
    ) {
      throw new InputError(
        "flowConfig",
        `Flow "${flow.name}" takes the organization's keys only, so a key of this instance would never be accepted.`,
      );
    }
    return { ownerType: "INSTANCE", ownerId: instance.id, stableKey: item.row.stableKey };
  }
  if (input.integration == null || input.flow == null || input.flowConfig != null) {
    throw new InputError("flowConfig", "Give either flowConfig, or integration and flow.");
  }
  if (!isAdmin(context)) throw notFound("integration", "integration");
  const { integrationId, stableKey } = await organizationFlow(context, input.integration, input.flow);
  return { ownerType: "INTEGRATION", ownerId: integrationId, stableKey };
}

/** The flow of an integration by its id, stable key or name, in the draft or any version. */
async function organizationFlow(
  { store }: Context,
  integrationNodeId: string,
  flow: string,
): Promise<{ integrationId: string; stableKey: string }> {
  const id = requiredId("Integration", integrationNodeId, "integration");
  const version = await store.config
    .selectFrom("versions")
    .select("integrationId")
    .where("id", "=", id)
    .executeTakeFirst();
  const integration = await store.config
    .selectFrom("integrations")
    .select(["id", "draftDigest"])
    .where("id", "=", version?.integrationId ?? id)
    .executeTakeFirst();
  if (integration === undefined) throw notFound("integration", "integration");
  const rows = await store.config
    .selectFrom("flows")
    .select(["id", "stableKey"])
    .where("integrationId", "=", integration.id)
    .execute();
  const flowId = inputId("IntegrationFlow", flow);
  const byId = rows.find((row) => row.id === flowId || row.stableKey === flow);
  if (byId !== undefined) return { integrationId: integration.id, stableKey: byId.stableKey };
  const digests = await store.config
    .selectFrom("versions")
    .select("definitionDigest")
    .where("integrationId", "=", integration.id)
    .orderBy("number", "desc")
    .limit(1)
    .execute();
  for (const digest of [integration.draftDigest, ...digests.map((row) => row.definitionDigest)]) {
    if (digest === null) continue;
    const definition = await readDefinition(store.config, digest);
    const named = definition.flows.find((candidate) => candidate.name === flow);
    if (named !== undefined) return { integrationId: integration.id, stableKey: named.stableKey };
  }
  throw notFound("flow", "flow");
}

/** The key that an input names, with its instance where it is a customer's. Throws where there is none to see. */
export async function keyToChange(
  context: Context,
  nodeId: string,
): Promise<{ id: string; instance: InstanceRow | null }> {
  const id = requiredId("ApiKey", nodeId, "id");
  const found = await visibleKey(context, id);
  if (found === null) throw notFound("id", "API key");
  return { id, instance: found.instance };
}

/** The key as it is inside the transaction that changes it. */
export async function presentKey(transaction: ConfigTransaction, id: string): Promise<ApiKeyRow> {
  const row = await keyById(transaction, id);
  if (row === undefined) throw notFound("id", "API key");
  return row;
}

export const endedWord = (row: ApiKeyRow): string => (row.revokedAtMs === null ? "expired" : "revoked");

/** The key where the viewer may see it, with its instance where it is a customer's. */
async function visibleKey(context: Context, id: string) {
  const row = await keyById(context.store.config, id);
  if (row === undefined) return null;
  if (row.ownerType === "INTEGRATION") return isOrganization(context) ? { row, instance: null } : null;
  const instance = await context.store.config
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", row.ownerId)
    .executeTakeFirst();
  if (instance === undefined || !maySeeCustomer(context, instance.customerId)) return null;
  return { row, instance };
}

// The type is filled in by `instances.ts`; a key's way to it is short enough to stand here.
builder.objectField(ApiKey, "instance", (t) =>
  t.field({
    type: Instance,
    nullable: true,
    description: "The instance that the key is for; null for a key of the organization.",
    resolve: async (key, _args, context) => (await visibleKey(context, key.id))?.instance ?? null,
  }),
);
