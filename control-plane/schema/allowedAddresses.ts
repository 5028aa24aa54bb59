/** Who may post to a webhook URL: addresses and CIDR ranges, of the flow, instance or integration it belongs to. */
import { z } from "zod";
import { normalRange } from "../../shared/addresses.ts";
import type { EndpointType } from "../../shared/definition.ts";
import type { Context } from "../context.ts";
import { configuredVersionOf } from "../store/configuredVersions.ts";
import { touch, touchInstance } from "../store/feedVersions.ts";
import type { ConfigTransaction } from "../store/store.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { loadFlowConfig } from "./flowConfigs.ts";
import { notFound, requiredId } from "./inputs.ts";
import { InstanceFlowConfig } from "./instanceRefs.ts";
import { loadInstance } from "./instances.ts";
import { visibleIntegration } from "./integrationItems.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Instance, Integration } from "./refs.ts";

const addressesMax = 200;

const parsed = (json: string): string[] => JSON.parse(json) as string[];

builder.objectField(InstanceFlowConfig, "allowedAddresses", (t) =>
  t.stringList({
    description: "Who may post to the flow's own URL: IP addresses and CIDR ranges; empty for everyone.",
    resolve: ({ row }) => parsed(row.allowedAddressesJson),
  }),
);

builder.objectField(Instance, "allowedAddresses", (t) =>
  t.stringList({
    description: "Who may post to the instance's URL: IP addresses and CIDR ranges; empty for everyone.",
    resolve: (instance) => parsed(instance.allowedAddressesJson),
  }),
);

builder.objectField(Integration, "allowedAddresses", (t) =>
  t.stringList({
    description: "Who may post to the shared URL: IP addresses and CIDR ranges; empty for everyone.",
    authScopes: { organization: true },
    resolve: ({ integration }) => parsed(integration.allowedAddressesJson),
  }),
);

interface Owner {
  /** Writes the list, and returns the feed's version with it. */
  write(transaction: ConfigTransaction, allowedAddressesJson: string): Promise<number>;
  /** Why a list would not count here, where it would not. */
  problem: string | null;
}

mutation("setAllowedAddresses", {
  description:
    "Says who may post to a webhook URL; everyone else is answered 403. Give one of flowConfig, instance and " +
    "integration: the one that the URL belongs to, by the version's endpoint type.",
  authScopes: { admin: true },
  input: (t) => ({
    flowConfig: t.id({ description: "The flow config, for a flow's own URL." }),
    instance: t.id({ description: "The instance, for an instance's URL." }),
    integration: t.id({ description: "The integration, for the shared URL." }),
    addresses: t.stringList({
      required: true,
      description: `IPv4 and IPv6 addresses and CIDR ranges, at most ${addressesMax}; empty for everyone.`,
    }),
  }),
  check: z.object({
    addresses: z.array(z.string()).max(addressesMax, `At most ${addressesMax} addresses.`),
  }),
  resolve: async (input, context) => {
    const addresses = input.addresses.map((text) => {
      const range = normalRange(text);
      if (range !== null) return range;
      const shown = JSON.stringify(text.slice(0, 100));
      throw new InputError("addresses", `${shown} is neither an IP address nor a CIDR range.`);
    });
    const owner = await ownerOf(input, context);
    if (addresses.length > 0 && owner.problem !== null) throw new InputError(wholeInput, owner.problem);
    const allowedAddresses = [...new Set(addresses)];
    const version = await context.feed.transact((transaction) =>
      owner.write(transaction, JSON.stringify(allowedAddresses)),
    );
    return { allowedAddresses, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    allowedAddresses: t.exposeStringList("allowedAddresses", {
      nullable: true,
      description: "The list as it is kept: ranges without their host bits, nothing twice.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not have the list yet.",
    }),
  }),
});

interface OwnerInput {
  flowConfig?: string | null | undefined;
  instance?: string | null | undefined;
  integration?: string | null | undefined;
}

async function ownerOf(input: OwnerInput, context: Context): Promise<Owner> {
  const given = [input.flowConfig, input.instance, input.integration].filter((id) => id != null);
  if (given.length !== 1)
    throw new InputError(wholeInput, "Give one of flowConfig, instance and integration.");
  if (input.flowConfig != null) return flowConfigOwner(context, input.flowConfig);
  if (input.instance != null) return instanceOwner(context, input.instance);
  return integrationOwner(context, input.integration!);
}

async function flowConfigOwner(context: Context, nodeId: string): Promise<Owner> {
  const item = await loadFlowConfig(context, requiredId("InstanceFlowConfig", nodeId, "flowConfig"));
  if (item === null) throw notFound("flowConfig", "flow config");
  const { row, instance, configured } = item;
  return {
    problem: instance.isSystem === 1 ? null : problemOf("flow_specific", configured.definition.endpointType),
    async write(transaction, allowedAddressesJson) {
      await transaction
        .updateTable("instanceFlowConfigs")
        .set({ allowedAddressesJson })
        .where("id", "=", row.id)
        .execute();
      return touchInstance(transaction, instance.id);
    },
  };
}

async function instanceOwner(context: Context, nodeId: string): Promise<Owner> {
  const instance = await loadInstance(context, requiredId("Instance", nodeId, "instance"));
  if (instance === null) throw notFound("instance", "instance");
  const configured = await configuredVersionOf(context.store.config, instance);
  return {
    problem: configured && problemOf("instance_specific", configured.definition.endpointType),
    async write(transaction, allowedAddressesJson) {
      await transaction
        .updateTable("instances")
        .set({ allowedAddressesJson })
        .where("id", "=", instance.id)
        .execute();
      return touchInstance(transaction, instance.id);
    },
  };
}

async function integrationOwner(context: Context, nodeId: string): Promise<Owner> {
  const id = requiredId("Integration", nodeId, "integration");
  const item = await visibleIntegration(context, id);
  if (item === null) throw notFound("integration", "integration");
  const { integration } = item;
  return {
    problem: null,
    async write(transaction, allowedAddressesJson) {
      await transaction
        .updateTable("integrations")
        .set({ allowedAddressesJson })
        .where("id", "=", integration.id)
        .execute();
      return touch(transaction, [{ kind: "integration", id: integration.id }]);
    },
  };
}

/** A list at a URL that nobody posts to would look like a protection, and be none. */
function problemOf(wanted: EndpointType, actual: EndpointType): string | null {
  if (actual === wanted) return null;
  return `The version's webhooks are posted to ${urlOf[actual]}, so the list would not count here. Give ${inputOf[actual]} instead.`;
}

const urlOf: Record<EndpointType, string> = {
  flow_specific: "each flow's own URL",
  instance_specific: "the instance's URL",
  shared_instance: "the integration's shared URL",
};
const inputOf: Record<EndpointType, string> = {
  flow_specific: "flowConfig",
  instance_specific: "instance",
  shared_instance: "integration",
};
