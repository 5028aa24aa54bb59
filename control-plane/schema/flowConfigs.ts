/** Instance flow configs: one flow of one instance, with its webhook URL and its API keys. */
import { securityTypeOf } from "../../shared/definition.ts";
import { isUuid, newId, newUrlToken } from "../../shared/ids.ts";
import { isAcceptableKey, isMask } from "../../shared/secrets.ts";
import { type Context, maySeeCustomer, type Urls, viewerName } from "../context.ts";
import { findKey, insertKey, isValidKey, keysOf, maskOf, updateKey } from "../store/apiKeys.ts";
import { type ConfiguredVersion, configuredVersionOf } from "../store/configuredVersions.ts";
import { nextRunOf } from "../store/schedules.ts";
import type { ConfigDatabase, ConfigTransaction } from "../store/store.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import { EndpointSecurityType } from "./flows.ts";
import { inputId } from "./inputs.ts";
import { type FlowConfigItem, InstanceFlowConfig } from "./instanceRefs.ts";
import { keyRule, keysPerFlowMax, refuseWithoutKey } from "./keyRules.ts";
import { InputError } from "./payloads.ts";
import { Instance, type InstanceRow, IntegrationFlow } from "./refs.ts";

/** The flow configs of the version that the instance is set to, in the order of its flows. */
export async function loadFlowConfigs(
  database: ConfigDatabase | ConfigTransaction,
  instance: InstanceRow,
): Promise<FlowConfigItem[]> {
  const configured = await configuredVersionOf(database, instance);
  if (configured === null) return [];
  const rows = await database
    .selectFrom("instanceFlowConfigs")
    .selectAll()
    .where("instanceId", "=", instance.id)
    .execute();
  const byStableKey = new Map(rows.map((row) => [row.stableKey, row]));
  return configured.definition.flows.flatMap((flow) => {
    const row = byStableKey.get(flow.stableKey);
    return row === undefined ? [] : [{ row, instance, configured, flow }];
  });
}

/** One flow config, where the viewer may see it. */
export async function loadFlowConfig(context: Context, id: string): Promise<FlowConfigItem | null> {
  if (!isUuid(id)) return null;
  const database = context.store.config;
  const row = await database
    .selectFrom("instanceFlowConfigs")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  if (row === undefined) return null;
  const instance = await database
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", row.instanceId)
    .executeTakeFirst();
  if (instance === undefined || !maySeeCustomer(context, instance.customerId)) return null;
  const configured = await configuredVersionOf(database, instance);
  if (configured === null) return null;
  const flow = configured.definition.flows.find((candidate) => candidate.stableKey === row.stableKey) ?? null;
  return { row, instance, configured, flow };
}

/** Makes the flow configs that the version's flows lack; those that are there keep their URLs and keys. */
export async function ensureFlowConfigs(
  transaction: ConfigTransaction,
  instanceId: string,
  { definition }: ConfiguredVersion,
): Promise<void> {
  for (const { stableKey } of definition.flows) {
    await transaction
      .insertInto("instanceFlowConfigs")
      .values({ id: newId(), instanceId, stableKey, token: newUrlToken(), allowedAddressesJson: "[]" })
      .onConflict((conflict) => conflict.columns(["instanceId", "stableKey"]).doNothing())
      .execute();
  }
}

/** Where a webhook for this flow is posted, by the version's endpoint type; a draft's flows have URLs of their own. */
export function webhookUrlOf({ row, instance, configured }: FlowConfigItem, urls: Urls): string {
  if (instance.isSystem === 1) return urls.webhook(row.token);
  switch (configured.definition.endpointType) {
    case "flow_specific":
      return urls.webhook(row.token);
    case "instance_specific":
      return urls.webhook(instance.token);
    case "shared_instance":
      return urls.webhook(configured.integration.token);
  }
}

export const FlowConfigInput = builder.inputType("InputInstanceFlowConfig", {
  description: "What one flow of an instance is set to.",
  fields: (t) => ({
    flowId: t.id({ required: true, description: "The flow's id, of the draft or of any version." }),
    apiKeys: t.stringList({
      required: { list: false, items: false },
      description:
        "All keys of the flow: a mask keeps that key, any other text is a new key, and a key that is left out is revoked.",
    }),
  }),
});

type KeyList = { flowId: string; apiKeys?: (string | null | undefined)[] | null | undefined };

/** Brings the flows' keys to what the lists say. Throws an error of `flowConfigs` where one can't be. */
export async function writeFlowKeys(
  transaction: ConfigTransaction,
  context: Context,
  instance: InstanceRow,
  lists: readonly (KeyList | null | undefined)[],
): Promise<void> {
  for (const list of lists) {
    if (list == null) continue;
    const id = inputId("IntegrationFlow", list.flowId);
    const flow =
      id === null
        ? undefined
        : await transaction
            .selectFrom("flows")
            .select("stableKey")
            .where("id", "=", id)
            .where("integrationId", "=", instance.integrationId)
            .executeTakeFirst();
    if (flow === undefined) {
      throw new InputError("flowConfigs", `"${list.flowId}" is not the id of a flow of this integration.`);
    }
    if (list.apiKeys == null) continue;
    const texts = list.apiKeys.filter((text) => text != null);
    await writeKeyList(transaction, context, instance, flow.stableKey, texts);
  }
}

async function writeKeyList(
  transaction: ConfigTransaction,
  context: Context,
  instance: InstanceRow,
  stableKey: string,
  texts: string[],
): Promise<void> {
  const { store } = context;
  if (texts.length > keysPerFlowMax) {
    throw new InputError("flowConfigs", `A flow has at most ${keysPerFlowMax} keys.`);
  }
  const owner = { ownerType: "INSTANCE" as const, ownerId: instance.id, stableKey };
  const valid = (await keysOf(transaction, owner)).filter((row) => isValidKey(row));
  const kept = new Set<string>();
  for (const text of texts) {
    if (isMask(text)) {
      const masked = valid.filter((row) => maskOf(row) === text);
      if (masked.length === 0) throw new InputError("flowConfigs", `There is no key ${text} to keep.`);
      for (const row of masked) kept.add(row.id);
      continue;
    }
    if (!isAcceptableKey(text)) throw new InputError("flowConfigs", keyRule);
    const same = await findKey(transaction, store, owner, text);
    if (same === undefined) {
      const made = { key: text, name: "API key", createdBy: viewerName(context), expiresAtMs: null };
      kept.add((await insertKey(transaction, store, owner, made)).id);
    } else {
      if (!isValidKey(same)) {
        // The list names the key in the clear: whoever writes it means the key to be valid again.
        await updateKey(transaction, same.id, { revokedAtMs: null, expiresAtMs: null });
      }
      kept.add(same.id);
    }
  }
  for (const row of valid) {
    if (!kept.has(row.id)) await updateKey(transaction, row.id, { revokedAtMs: Date.now() });
  }
  await refuseWithoutKey(transaction, instance, stableKey, "flowConfigs");
}

builder.node(InstanceFlowConfig, {
  description: "One flow of one instance: its webhook URL and its API keys.",
  authScopes: ({ instance }, context) => maySeeCustomer(context, instance.customerId),
  id: { resolve: ({ row }) => row.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadFlowConfig(context, id),
  fields: (t) => ({
    flow: t.field({
      type: IntegrationFlow,
      nullable: true,
      description:
        "The flow, in the version that the instance is set to; null where that version has it no more.",
      resolve: ({ configured, flow }) => {
        const id = flow === null ? undefined : configured.flowIds.get(flow.stableKey);
        if (flow === null || id === undefined) return null;
        const { integration, version, definition } = configured;
        return { id, owner: { integration, version }, definition, flow };
      },
    }),
    instance: t.field({
      type: Instance,
      description: "The instance that it belongs to.",
      resolve: ({ instance }) => instance,
    }),
    webhookUrl: t.string({
      description: "Where webhooks for this flow are posted to.",
      resolve: (item, _args, { urls }) => webhookUrlOf(item, urls),
    }),
    nextScheduledRunAt: t.field({
      type: "DateTime",
      nullable: true,
      description:
        "When its schedule starts it next; null where what is deployed has no schedule for it, or the instance is paused.",
      resolve: ({ row }, _args, { store }) => nextRunOf(store.config, row.instanceId, row.stableKey),
    }),
    apiKeys: t.stringList({
      description: "Masks of the flow's valid keys: their start and end.",
      resolve: async ({ row }, _args, { store }) => {
        const { instanceId, stableKey } = row;
        const keys = await keysOf(store.config, { ownerType: "INSTANCE", ownerId: instanceId, stableKey });
        return keys.filter((key) => isValidKey(key)).map(maskOf);
      },
    }),
    endpointSecurityType: t.field({
      type: EndpointSecurityType,
      nullable: true,
      description: "Whose keys a webhook must show; null where the version has the flow no more.",
      resolve: ({ configured, flow }) => (flow === null ? null : securityTypeOf(configured.definition, flow)),
    }),
    needsApiKey: t.boolean({
      description: "Whether the flow needs a key of the customer before the instance can be deployed.",
      resolve: async ({ row, configured, flow }, _args, { store }) => {
        if (flow === null || securityTypeOf(configured.definition, flow) !== "customer_required")
          return false;
        const { instanceId, stableKey } = row;
        const keys = await keysOf(store.config, { ownerType: "INSTANCE", ownerId: instanceId, stableKey });
        return !keys.some((key) => isValidKey(key));
      },
    }),
  }),
});

export const FlowConfigConnection = builder.connectionObject(
  {
    type: InstanceFlowConfig,
    name: "InstanceFlowConfigConnection",
    description: "A page of instance flow configs.",
  },
  { name: "InstanceFlowConfigEdge", description: "An instance flow config with its cursor." },
);

builder.objectFields(Instance, (t) => ({
  flowConfigs: t.connection(
    {
      type: InstanceFlowConfig,
      description: "The flows of the version that the instance is set to, each with its URL and keys.",
      resolve: async (instance, args, { store }) =>
        pageOfList(await loadFlowConfigs(store.config, instance), args),
    },
    FlowConfigConnection,
  ),
  flowsThatNeedKeys: t.field({
    type: [InstanceFlowConfig],
    description: "The flows that need a key of the customer before the instance can be deployed.",
    resolve: async (instance, _args, { store }) => {
      const items = await loadFlowConfigs(store.config, instance);
      const keys = await keysOf(store.config, { ownerType: "INSTANCE", ownerId: instance.id });
      const secured = new Set(keys.filter((key) => isValidKey(key)).map((key) => key.stableKey));
      return items.filter(
        ({ configured, flow, row }) =>
          flow !== null &&
          securityTypeOf(configured.definition, flow) === "customer_required" &&
          !secured.has(row.stableKey),
      );
    },
  }),
}));

builder.queryField("instanceFlowConfig", (t) =>
  t.field({
    type: InstanceFlowConfig,
    nullable: true,
    description: "One flow of one instance.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The flow config's id." }) },
    resolve: (_root, args, context) => {
      const id = inputId("InstanceFlowConfig", args.id);
      return id === null ? null : loadFlowConfig(context, id);
    },
  }),
);
