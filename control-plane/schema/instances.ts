/** Instances: one version of an integration, deployed to one customer. */
import { z } from "zod";
import { isUuid, newId, newUrlToken } from "../../shared/ids.ts";
import { type Context, customerScope, maySeeCustomer } from "../context.ts";
import { type ConfiguredVersion, configuredVersionOf, readVersion } from "../store/configuredVersions.ts";
import {
  instanceOwner,
  instanceVariables,
  missingConfigVariables,
  readConfigVariables,
} from "../store/configVariables.ts";
import { touchInstance } from "../store/feedVersions.ts";
import { resetSchedules } from "../store/schedules.ts";
import type { ConfigDatabase, ConfigTransaction } from "../store/store.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { ConfigVariableInput, saveConfigVariables } from "./configVariableInputs.ts";
import { applyDraftConfigVariables } from "./configVariables.ts";
import { contains, type PageArguments, pageOfQuery } from "./connections.ts";
import { deploy } from "./deploys.ts";
import { ensureFlowConfigs, FlowConfigInput, writeFlowKeys } from "./flowConfigs.ts";
import { inputId, labelsCheck, labelsJson, nameCheck, notFound, requiredId, textCheck } from "./inputs.ts";
import { removeInstance } from "./instanceRemoval.ts";
import { findIntegration } from "./integrationItems.ts";
import { InputError, mutation } from "./payloads.ts";
import { Customer, Instance, type InstanceRow, Integration, type IntegrationItem } from "./refs.ts";
import { SortDirection } from "./scalars.ts";

export async function loadInstance(context: Context, id: string): Promise<InstanceRow | null> {
  if (!isUuid(id)) return null;
  const row = await context.store.config
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return row !== undefined && maySeeCustomer(context, row.customerId) ? row : null;
}

builder.node(Instance, {
  description: "A version of an integration that is set up for one customer.",
  authScopes: (instance, context) => maySeeCustomer(context, instance.customerId),
  id: { resolve: (instance) => instance.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadInstance(context, id),
  fields: (t) => ({
    name: t.exposeString("name", { description: "The instance's name." }),
    description: t.exposeString("description", { description: "What the instance is for." }),
    labels: t.stringList({
      description: "Labels to find the instance by.",
      resolve: (instance) => JSON.parse(instance.labelsJson) as string[],
    }),
    enabled: t.boolean({
      description: "Whether webhooks are run; a paused instance stays deployed and keeps them for a replay.",
      resolve: (instance) => instance.enabled === 1,
    }),
    isSystem: t.boolean({
      description: "Whether the integration's draft is tested on it, for the test customer.",
      resolve: (instance) => instance.isSystem === 1,
    }),
    globalDebug: t.boolean({
      description: "Whether its executions run in debug mode.",
      resolve: (instance) => instance.globalDebug === 1,
    }),
    needsDeploy: t.boolean({
      description: "Whether something was changed since the last deploy.",
      resolve: (instance) => instance.isSystem === 0 && instance.needsDeploy === 1,
    }),
    customer: t.field({
      type: Customer,
      description: "The customer it is for.",
      resolve: ({ customerId }, _args, { store }) =>
        store.config
          .selectFrom("customers")
          .selectAll()
          .where("id", "=", customerId)
          .executeTakeFirstOrThrow(),
    }),
    integration: t.field({
      type: Integration,
      description: "The version it is set to; of a system instance the draft.",
      resolve: ({ integrationId, versionId }, _args, { store }) =>
        readItem(store.config, versionId ?? integrationId),
    }),
    deployedVersion: t.field({
      type: Integration,
      nullable: true,
      description: "The version it runs on; null before the first deploy.",
      resolve: ({ deployedVersionId }, _args, { store }) =>
        deployedVersionId === null ? null : readItem(store.config, deployedVersionId),
    }),
    lastDeployedAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it was last deployed.",
      resolve: (instance) => instance.deployedAtMs,
    }),
    configState: t.string({
      description:
        "FULLY_CONFIGURED, or NEEDS_INSTANCE_CONFIGURATION where a config variable has neither value nor default.",
      resolve: async (instance, _args, { store }) => {
        const configured = await configuredVersionOf(store.config, instance);
        if (configured === null) return fullyConfigured;
        const given = await readConfigVariables(store.config, store, instanceOwner(instance.id));
        return missingConfigVariables(configured.definition, given).length === 0
          ? fullyConfigured
          : "NEEDS_INSTANCE_CONFIGURATION";
      },
    }),
    createdAt: t.field({
      type: "DateTime",
      description: "When it was made.",
      resolve: (instance) => instance.createdAtMs,
    }),
    updatedAt: t.field({
      type: "DateTime",
      description: "When it was last changed.",
      resolve: (instance) => instance.updatedAtMs,
    }),
  }),
});

const fullyConfigured = "FULLY_CONFIGURED";

export const InstanceConnection = builder.connectionObject(
  { type: Instance, name: "InstanceConnection", description: "A page of instances." },
  { name: "InstanceEdge", description: "An instance with its cursor." },
);

interface InstanceFilters extends PageArguments {
  isSystem?: boolean | null | undefined;
  enabled?: boolean | null | undefined;
  needsDeploy?: boolean | null | undefined;
  name_Icontains?: string | null | undefined;
  description_Icontains?: string | null | undefined;
  labels_Contains?: string | null | undefined;
  customer?: string | null | undefined;
  integration?: string | null | undefined;
  orderBy?: Order | null | undefined;
  sortBy?: Order[] | null | undefined;
}

interface Order {
  field: "name" | "customerId" | "createdAtMs" | "updatedAtMs";
  direction: "asc" | "desc";
}

const InstanceOrder = builder.inputType("InstanceOrder", {
  description: "An order of instances.",
  fields: (t) => ({
    field: t.field({
      type: builder.enumType("InstanceOrderField", {
        description: "What instances can be ordered by.",
        values: {
          NAME: { value: "name", description: "Their name." },
          CUSTOMER: {
            value: "customerId",
            description: "Their customer, so that each customer's stand together.",
          },
          CREATED_AT: { value: "createdAtMs", description: "When they were made." },
          UPDATED_AT: { value: "updatedAtMs", description: "When they were last changed." },
        } as const,
      }),
      required: true,
      description: "What to order by.",
    }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

const instanceFilters = builder.args((t) => ({
  isSystem: t.boolean({ description: "Only system instances (true), or only customers' (false)." }),
  enabled: t.boolean({ description: "Only those that are enabled, or only paused ones." }),
  needsDeploy: t.boolean({
    description: "Only those changed since their last deploy, or only others.",
  }),
  name_Icontains: t.string({ description: "Only those with this text in their name." }),
  description_Icontains: t.string({ description: "Only those with this text in their description." }),
  labels_Contains: t.string({ description: "Only those with this label." }),
  orderBy: t.field({ type: InstanceOrder, description: "The order; by name where it is left out." }),
  sortBy: t.field({
    type: [InstanceOrder],
    required: { list: false, items: true },
    description: "Several orders, one within the other; all go the way of the first.",
  }),
}));

builder.objectFields(Customer, (customer) => ({
  instances: customer.connection(
    {
      type: Instance,
      description: "The customer's instances, by name.",
      args: instanceFilters,
      resolve: ({ id }, args, context) =>
        pageOfInstances(context, { ...args }, (query) => query.where("customerId", "=", id)),
    },
    InstanceConnection,
  ),
}));
builder.objectFields(Integration, (integration) => ({
  instances: integration.connection(
    {
      type: Instance,
      description: "The integration's instances, by name; of a published version those that are set to it.",
      args: instanceFilters,
      resolve: (item, args, context) => pageOfInstances(context, { ...args }, (query) => ofItem(query, item)),
    },
    InstanceConnection,
  ),
}));
builder.queryFields((t) => ({
  instance: t.field({
    type: Instance,
    nullable: true,
    description: "One instance.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The instance's id." }) },
    resolve: (_root, args, context) => {
      const id = inputId("Instance", args.id);
      return id === null ? null : loadInstance(context, id);
    },
  }),
  instances: t.connection(
    {
      type: Instance,
      description: "The instances, by name.",
      authScopes: { signedIn: true },
      args: {
        ...instanceFilters,
        customer: t.arg.id({ description: "Only this customer's." }),
        integration: t.arg.id({
          description: "Only this integration's; with the id of a version, those that are set to it.",
        }),
      },
      resolve: (_root, args, context) => pageOfInstances(context, args),
    },
    InstanceConnection,
  ),
}));

const instancesOf = (database: ConfigDatabase) => database.selectFrom("instances").selectAll();
type InstanceQuery = ReturnType<typeof instancesOf>;

const ofItem = (query: InstanceQuery, { integration, version }: IntegrationItem): InstanceQuery =>
  version === null
    ? query.where("integrationId", "=", integration.id)
    : query.where("versionId", "=", version.id);

function pageOfInstances(
  context: Context,
  args: InstanceFilters,
  narrow: (query: InstanceQuery) => InstanceQuery = (query) => query,
) {
  let query = narrow(instancesOf(context.store.config));
  const only = customerScope(context);
  if (only !== null) query = query.where("customerId", "=", only);
  if (args.isSystem != null) query = query.where("isSystem", "=", args.isSystem ? 1 : 0);
  if (args.enabled != null) query = query.where("enabled", "=", args.enabled ? 1 : 0);
  if (args.needsDeploy != null) query = query.where("needsDeploy", "=", args.needsDeploy ? 1 : 0);
  if (args.name_Icontains) query = query.where(contains("name", args.name_Icontains));
  if (args.description_Icontains) query = query.where(contains("description", args.description_Icontains));
  if (args.labels_Contains) query = query.where(contains("labelsJson", JSON.stringify(args.labels_Contains)));
  if (args.customer != null) query = query.where("customerId", "=", inputId("Customer", args.customer) ?? "");
  if (args.integration != null) {
    const id = inputId("Integration", args.integration) ?? "";
    query = query.where((row) => row.or([row("integrationId", "=", id), row("versionId", "=", id)]));
  }
  const given = args.orderBy == null ? (args.sortBy ?? []) : [args.orderBy];
  const fields = given.length === 0 ? (["name"] as const) : given.map((order) => order.field);
  return pageOfQuery(query, args, {
    columns: [...fields, "id"],
    key: (row) => [...fields.map((field) => row[field]), row.id],
    direction: given[0]?.direction ?? "asc",
  });
}

mutation("createInstance", {
  description: "Sets up an integration for a customer. It serves webhooks once it is deployed.",
  authScopes: { admin: true },
  input: (t) => ({
    name: t.string({ required: true, description: "The instance's name." }),
    description: t.string({ description: "What the instance is for." }),
    integration: t.id({
      required: true,
      description: "The version's id, or the integration's for its latest available version.",
    }),
    customer: t.id({ required: true, description: "The customer it is for." }),
    configVariables: t.field({
      type: [ConfigVariableInput],
      required: { list: false, items: false },
      description: "Values of config variables.",
    }),
    flowConfigs: t.field({
      type: [FlowConfigInput],
      required: { list: false, items: false },
      description: "API keys of flows.",
    }),
    labels: t.stringList({
      required: { list: false, items: false },
      description: "Labels to find the instance by.",
    }),
  }),
  check: z.object({
    name: nameCheck,
    description: textCheck.nullish(),
    labels: labelsCheck.nullish(),
    configVariables: listCheck().nullish(),
    flowConfigs: listCheck().nullish(),
  }),
  resolve: async (input, context) => {
    const { store, feed } = context;
    const customerId = requiredId("Customer", input.customer, "customer");
    const instance = await feed.transact(async (transaction) => {
      const customer = await transaction
        .selectFrom("customers")
        .select("isSystem")
        .where("id", "=", customerId)
        .executeTakeFirst();
      if (customer === undefined) throw notFound("customer", "customer");
      if (customer.isSystem === 1) {
        throw new InputError("customer", "The test customer has no instances but those that test drafts.");
      }
      const configured = await versionToUse(transaction, input.integration);
      if (!configured.version.isAvailable) throw unavailable(configured.version.number);
      const now = Date.now();
      const row: InstanceRow = {
        id: newId(),
        integrationId: configured.integration.id,
        customerId,
        versionId: configured.version.id,
        deployedVersionId: null,
        deployedSealedConfigVars: null,
        deployedAtMs: null,
        firstDeployedAtMs: null,
        name: input.name.trim(),
        description: input.description ?? "",
        labelsJson: labelsJson(input.labels ?? []),
        isSystem: 0,
        enabled: 1,
        globalDebug: 0,
        needsDeploy: 1,
        token: newUrlToken(),
        allowedAddressesJson: "[]",
        createdAtMs: now,
        updatedAtMs: now,
      };
      await transaction.insertInto("instances").values(row).execute();
      await ensureFlowConfigs(transaction, row.id, configured);
      const { configVariables, flowConfigs } = input;
      if (configVariables) {
        const variables = instanceVariables(configured.definition);
        await saveConfigVariables(transaction, store, instanceOwner(row.id), variables, configVariables);
      }
      if (flowConfigs) await writeFlowKeys(transaction, context, row, flowConfigs);
      return row;
    });
    return { instance };
  },
  output: (t) => ({
    instance: t.expose("instance", { type: Instance, nullable: true, description: "The new instance." }),
  }),
});

mutation("updateInstance", {
  description:
    "Changes an instance. Its name, state and keys count at once; its version and config variables once it is deployed.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The instance's id." }),
    name: t.string({ description: "The instance's name." }),
    description: t.string({ description: "What the instance is for." }),
    labels: t.stringList({
      required: { list: false, items: false },
      description: "Labels to find the instance by.",
    }),
    enabled: t.boolean({ description: "False pauses it: webhooks are answered 409 and kept for a replay." }),
    globalDebug: t.boolean({ description: "Whether its executions run in debug mode." }),
    integration: t.id({
      description: "The version to move to, or the integration's id for its latest available version.",
    }),
    configVariables: t.field({
      type: [ConfigVariableInput],
      required: { list: false, items: false },
      description: "Values of config variables; those that are left out keep theirs.",
    }),
    flowConfigs: t.field({
      type: [FlowConfigInput],
      required: { list: false, items: false },
      description: "API keys of flows; flows that are left out keep theirs.",
    }),
    configMode: t.string({ description: 'What is configured; "INSTANCE" is all there is.' }),
  }),
  check: z.object({
    name: nameCheck.nullish(),
    description: textCheck.nullish(),
    labels: labelsCheck.nullish(),
    configVariables: listCheck().nullish(),
    flowConfigs: listCheck().nullish(),
  }),
  resolve: async (input, context) => {
    const { store, feed } = context;
    const id = requiredId("Instance", input.id, "id");
    const { version, instance } = await feed.transact(async (transaction) => {
      const row = await transaction
        .selectFrom("instances")
        .selectAll()
        .where("id", "=", id)
        .executeTakeFirst();
      if (row === undefined) throw notFound("id", "instance");
      const next = { ...row, updatedAtMs: Date.now() };
      if (input.name != null) next.name = input.name.trim();
      if (input.description != null) next.description = input.description;
      if (input.labels != null) next.labelsJson = labelsJson(input.labels);
      if (input.enabled != null) next.enabled = input.enabled ? 1 : 0;
      if (input.globalDebug != null) next.globalDebug = input.globalDebug ? 1 : 0;
      if (input.integration != null) await moveToVersion(transaction, next, input.integration);
      const configured = await configuredVersionOf(transaction, next);
      if (input.configVariables) {
        if (configured === null) throw notFound("configVariables", "draft: import one first");
        const variables = instanceVariables(configured.definition);
        await saveConfigVariables(transaction, store, instanceOwner(id), variables, input.configVariables);
        next.needsDeploy = 1;
      }
      if (input.flowConfigs) await writeFlowKeys(transaction, context, row, input.flowConfigs);
      const { id: _id, ...values } = next;
      await transaction.updateTable("instances").set(values).where("id", "=", id).execute();
      if (row.isSystem === 1 && input.configVariables && configured !== null) {
        await applyDraftConfigVariables(transaction, store, id, configured.definition);
      }
      if (next.enabled !== row.enabled) await resetSchedules(transaction, store, id);
      return { version: await touchInstance(transaction, id), instance: next };
    });
    const pendingDataPlanes = await waitForDataPlanes(context, version);
    return { instance, pendingDataPlanes };
  },
  output: (t) => ({
    instance: t.expose("instance", {
      type: Instance,
      nullable: true,
      description: "The instance as it is now.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not serve the change yet.",
    }),
  }),
});

mutation("deployInstance", {
  description: "Makes the instance run on the version and config variables that it is set to.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The instance's id." }),
    force: t.boolean({
      description:
        "Deploy also where config variables have no value, or the version is marked as not available.",
    }),
  }),
  resolve: (input, context) => deploy(context, requiredId("Instance", input.id, "id"), input.force === true),
  output: (t) => ({
    instance: t.expose("instance", {
      type: Instance,
      nullable: true,
      description: "The instance as it is now.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not serve the deployed version yet.",
    }),
  }),
});

mutation("deleteInstance", {
  description:
    "Removes an instance: its URLs and keys are gone at once. Its executions stay. " +
    "What its triggers do on a removal runs before, and does not keep it when it fails.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The instance's id." }) }),
  resolve: async (input, context) => removeInstance(context, requiredId("Instance", input.id, "id")),
  output: (t) => ({
    instance: t.expose("instance", { type: Instance, nullable: true, description: "What was removed." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that still serve it.",
    }),
    lifecycleProblems: t.exposeStringList("lifecycleProblems", {
      nullable: true,
      description:
        "What its triggers could not do on the removal (onInstanceDelete, webhookLifecycleHandlers, flows): to be done by hand.",
    }),
  }),
});

async function moveToVersion(
  transaction: ConfigTransaction,
  instance: InstanceRow,
  nodeId: string,
): Promise<void> {
  if (instance.isSystem === 1) {
    throw new InputError("integration", "A system instance is always on the integration's draft.");
  }
  const configured = await versionToUse(transaction, nodeId);
  const { integration, version } = configured;
  if (integration.id !== instance.integrationId) {
    throw new InputError(
      "integration",
      `The instance is of another integration: it can't be moved to "${integration.name}".`,
    );
  }
  if (version.id === instance.versionId) return;
  if (!version.isAvailable) throw unavailable(version.number);
  instance.versionId = version.id;
  instance.needsDeploy = 1;
  await ensureFlowConfigs(transaction, instance.id, configured);
}

/** The version that a node id names: its own, or of an integration the latest that is available. */
async function versionToUse(
  transaction: ConfigTransaction,
  nodeId: string,
): Promise<ConfiguredVersion & { version: NonNullable<ConfiguredVersion["version"]> }> {
  const id = requiredId("Integration", nodeId, "integration");
  const named = await transaction
    .selectFrom("versions")
    .select(["id", "integrationId"])
    .where("id", "=", id)
    .executeTakeFirst();
  const chosen =
    named ??
    (await transaction
      .selectFrom("versions")
      .select(["id", "integrationId"])
      .where("integrationId", "=", id)
      .where("isAvailable", "=", 1)
      .orderBy("number", "desc")
      .limit(1)
      .executeTakeFirst());
  if (chosen === undefined) {
    const integration = await transaction
      .selectFrom("integrations")
      .select("name")
      .where("id", "=", id)
      .executeTakeFirst();
    if (integration === undefined) throw notFound("integration", "integration or version");
    throw new InputError(
      "integration",
      `Integration "${integration.name}" has no available version: publish one first.`,
    );
  }
  const configured = await readVersion(transaction, chosen.integrationId, chosen.id);
  if (configured?.version == null) throw notFound("integration", "integration or version");
  return { ...configured, version: configured.version };
}

const unavailable = (number: number): InputError =>
  new InputError("integration", `Version ${number} is marked as not available.`);

/** The version, or the draft; rows refer to both, so they are there. */
async function readItem(database: ConfigDatabase, id: string): Promise<IntegrationItem> {
  const item = await findIntegration(database, id);
  if (item === null) throw new Error(`There is no version or integration ${id}.`);
  return item;
}

function listCheck() {
  const itemsMax = 1000;
  return z.array(z.unknown()).max(itemsMax, `At most ${itemsMax} at once.`);
}
