/** API keys: made by us or brought along, shown in the clear once, revoked for good. */
import { z } from "zod";
import { securityTypeOf } from "../../shared/definition.ts";
import { newSecret } from "../../shared/ids.ts";
import { isAcceptableKey } from "../../shared/secrets.ts";
import { type Context, isAdmin, maySeeCustomer, viewerName } from "../context.ts";
import {
  findKey,
  insertKey,
  isValidKey,
  type KeyOwner,
  keysOf,
  maskOf,
  setKeyRevoked,
} from "../store/apiKeys.ts";
import { readDefinition } from "../store/configuredVersions.ts";
import { touchInstance, touchIntegration } from "../store/feedVersions.ts";
import type { ConfigTransaction } from "../store/store.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { inputId, nameCheck, notFound, requiredId } from "./inputs.ts";
import { ApiKey, InstanceFlowConfig } from "./instanceRefs.ts";
import { keyRule, keysPerFlowMax, refuseWithoutKey } from "./keyRules.ts";
import { InputError, mutation } from "./payloads.ts";
import { Instance, Integration, IntegrationFlow } from "./refs.ts";

builder.node(ApiKey, {
  description: "A key that webhook senders show in the Api-Key header.",
  id: { resolve: (key) => key.id },
  isTypeOf: undefined,
  loadOne: async (id, context) => (await visibleKey(context, id))?.row ?? null,
  fields: (t) => ({
    name: t.exposeString("name", { description: "What the key is for." }),
    mask: t.string({ description: "The key's start and end: all that is shown of it.", resolve: maskOf }),
    createdAt: t.field({
      type: "DateTime",
      description: "When the key was made.",
      resolve: (key) => key.createdAtMs,
    }),
    createdBy: t.exposeString("createdBy", { description: "Who made the key." }),
    lastUsedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When a request last showed the key, to the minute.",
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
  }),
});

export const ApiKeyConnection = builder.connectionObject(
  { type: ApiKey, name: "ApiKeyConnection", description: "A page of API keys." },
  { name: "ApiKeyEdge", description: "An API key with its cursor." },
);

const onlyValid = {
  isValid: (given: boolean | null | undefined) => (row: Parameters<typeof isValidKey>[0]) =>
    given == null || isValidKey(row) === given,
};

builder.objectField(InstanceFlowConfig, "keys", (t) =>
  t.connection(
    {
      type: ApiKey,
      description: "The customer's keys of this flow, the oldest first; revoked ones among them.",
      args: {
        isValid: t.arg.boolean({ description: "Only those that are accepted now, or only the others." }),
      },
      resolve: async ({ row }, args, { store }) => {
        const keys = await keysOf(store.config, {
          ownerType: "INSTANCE",
          ownerId: row.instanceId,
          stableKey: row.stableKey,
        });
        return pageOfList(keys.filter(onlyValid.isValid(args.isValid)), args);
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
      authScopes: { admin: true },
      args: {
        isValid: t.arg.boolean({ description: "Only those that are accepted now, or only the others." }),
      },
      resolve: async ({ integration }, args, { store }) => {
        const keys = await keysOf(store.config, { ownerType: "INTEGRATION", ownerId: integration.id });
        return pageOfList(keys.filter(onlyValid.isValid(args.isValid)), args);
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
      authScopes: { admin: true },
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

mutation("createApiKey", {
  description:
    "Makes a key for one flow of an instance, or, with integration and flow, for that flow in all instances. " +
    "The key itself is in the answer, and never shown again.",
  authScopes: { signedIn: true },
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
    expiresAt: z
      .date()
      .refine((date) => date.getTime() > Date.now(), "This moment has passed.")
      .nullish(),
  }),
  resolve: async (input, context) => {
    const { store, feed } = context;
    const { owner, touched } = await keyOwner(input, context);
    const key = input.key ?? newSecret("swk_");
    const made = await feed.transact(async (transaction) => {
      const others = await keysOf(transaction, owner);
      if (others.filter((row) => isValidKey(row)).length >= keysPerFlowMax) {
        throw new InputError("flowConfig", `A flow has at most ${keysPerFlowMax} keys. Revoke one first.`);
      }
      // Not said: whether the key is valid, revoked or expired there.
      if ((await findKey(transaction, store, owner, key)) !== undefined) {
        throw new InputError("key", "This key can't be used. Choose another.");
      }
      const row = await insertKey(transaction, store, owner, {
        key,
        name: input.name?.trim() || "API key",
        createdBy: viewerName(context),
        expiresAtMs: input.expiresAt?.getTime() ?? null,
      });
      return { row, version: await touched(transaction) };
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
  authScopes: { signedIn: true },
  input: (t) => ({ id: t.id({ required: true, description: "The key's id." }) }),
  resolve: async (input, context) => {
    const found = await visibleKey(context, requiredId("ApiKey", input.id, "id"));
    if (found === null) throw notFound("id", "API key");
    const { row, instance } = found;
    const { version, revoked } = await context.feed.transact(async (transaction) => {
      const revokedAtMs = row.revokedAtMs ?? Date.now();
      await setKeyRevoked(transaction, row.id, revokedAtMs);
      if (instance !== null && isValidKey(row)) {
        await refuseWithoutKey(transaction, instance, row.stableKey, "id");
      }
      const version =
        instance === null
          ? await touchIntegration(transaction, row.ownerId)
          : await touchInstance(transaction, instance.id);
      return { version, revoked: { ...row, revokedAtMs } };
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

interface OwnerInput {
  flowConfig?: string | null | undefined;
  integration?: string | null | undefined;
  flow?: string | null | undefined;
}

async function keyOwner(
  input: OwnerInput,
  context: Context,
): Promise<{ owner: KeyOwner; touched: (transaction: ConfigTransaction) => Promise<number> }> {
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
    return {
      owner: { ownerType: "INSTANCE", ownerId: instance.id, stableKey: item.row.stableKey },
      touched: (transaction) => touchInstance(transaction, instance.id),
    };
  }
  if (input.integration == null || input.flow == null || input.flowConfig != null) {
    throw new InputError("flowConfig", "Give either flowConfig, or integration and flow.");
  }
  if (!isAdmin(context)) throw notFound("integration", "integration");
  const { integrationId, stableKey } = await organizationFlow(context, input.integration, input.flow);
  return {
    owner: { ownerType: "INTEGRATION", ownerId: integrationId, stableKey },
    touched: (transaction) => touchIntegration(transaction, integrationId),
  };
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

/** The key where the viewer may see it, with its instance where it is a customer's. */
async function visibleKey(context: Context, id: string) {
  const row = await context.store.config
    .selectFrom("apiKeys")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  if (row === undefined) return null;
  if (row.ownerType === "INTEGRATION") return isAdmin(context) ? { row, instance: null } : null;
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
