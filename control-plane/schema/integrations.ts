/** Integrations: what a builder makes. A draft and its published versions are both of this type. */

import { GraphQLError } from "graphql";
import { parseDocument } from "yaml";
import { z } from "zod";
import { definitionVersion, type EndpointType } from "../../shared/definition.ts";
import { type Context, maySeeCustomer } from "../context.ts";
import { instanceOwner, instanceVariables } from "../store/configVariables.ts";
import { changeDraft, type DraftChanges, insertIntegration, saveDraft } from "../store/drafts.ts";
import { latestDeployedVersions } from "../store/feedEntities.ts";
import { touch, touchIntegration } from "../store/feedVersions.ts";
import { removeStates } from "../store/flowStates.ts";
import type { ConfigTransaction } from "../store/store.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { withStatus } from "./configVariableFields.ts";
import { ConfigVariableInput, saveConfigVariables } from "./configVariableInputs.ts";
import {
  applyDraftConfigVariables,
  ConfigVariableConnection,
  loadConfigVariables,
  statusFilters,
} from "./configVariables.ts";
import { contains, pageOfList, pageOfQuery } from "./connections.ts";
import { loadCustomers } from "./customers.ts";
import { inputId, labelsCheck, nameCheck, notFound, requiredId, textCheck } from "./inputs.ts";
import { InstanceConfigVariable } from "./instanceRefs.ts";
import { compileDraft, readYaml } from "./integrationImports.ts";
import {
  definitionOf,
  draftOf,
  findIntegration,
  itemId,
  latestNumber,
  requiredIntegration,
  visibleIntegration,
} from "./integrationItems.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import {
  Customer,
  Instance,
  type InstanceRow,
  Integration,
  type IntegrationItem,
  type IntegrationRow,
} from "./refs.ts";

export const EndpointTypeEnum = builder.enumType("EndpointType", {
  description: "What a webhook URL stands for.",
  values: {
    FLOW_SPECIFIC: { value: "flow_specific", description: "One flow of one instance." },
    INSTANCE_SPECIFIC: {
      value: "instance_specific",
      description: "One instance; the request says which flow.",
    },
    SHARED_INSTANCE: {
      value: "shared_instance",
      description: "The integration; the request says which customer and which flow.",
    },
  } as const,
});

const IsolationEnum = builder.enumType("IntegrationIsolation", {
  description: "Which instances share what an integration's modules hold in memory, in one run thread.",
  values: {
    VERSION: { value: "version", description: "All instances of a version share its modules." },
    INSTANCE: {
      value: "instance",
      description: "Each instance has a copy of its version's modules to itself.",
    },
  } as const,
});

interface EndpointConfigItem {
  endpointType: EndpointType;
  flowNameReference: string | null;
  externalCustomerIdReference: string | null;
  externalCustomerUserIdReference: string | null;
  preprocessFlowName: string | null;
}

const EndpointConfig = builder.objectRef<EndpointConfigItem>("EndpointConfig").implement({
  description: "How webhooks find their customer and their flow.",
  fields: (t) => ({
    endpointType: t.field({
      type: EndpointTypeEnum,
      description: "What a webhook URL stands for.",
      resolve: (config) => config.endpointType,
    }),
    flowNameReference: t.exposeString("flowNameReference", {
      nullable: true,
      description: "Where the flow's name is found: in the request, or in the preprocess flow's result.",
    }),
    externalCustomerIdReference: t.exposeString("externalCustomerIdReference", {
      nullable: true,
      description: "Where the customer's external id is found.",
    }),
    externalCustomerUserIdReference: t.exposeString("externalCustomerUserIdReference", {
      nullable: true,
      description: "Where the external id of the customer's user is found.",
    }),
    preprocessFlowName: t.exposeString("preprocessFlowName", {
      nullable: true,
      description: "The flow that runs first and says where the webhook goes.",
    }),
  }),
});

builder.node(Integration, {
  description: "An integration: its draft, or one of its published versions.",
  authScopes: { signedIn: true },
  id: { resolve: itemId },
  loadOne: (id, context) => visibleIntegration(context, id),
  fields: (t) => ({
    name: t.string({
      description: "The integration's name.",
      resolve: async (item, _args, { store }) =>
        (item.version && (await definitionOf(store.config, item))?.name) ?? item.integration.name,
    }),
    description: t.string({
      description: "What the integration does.",
      resolve: async (item, _args, { store }) =>
        (item.version && (await definitionOf(store.config, item))?.description) ??
        item.integration.description,
    }),
    category: t.string({
      description: "What the integration is listed under.",
      resolve: async (item, _args, { store }) =>
        (item.version && (await definitionOf(store.config, item))?.category) ?? item.integration.category,
    }),
    labels: t.stringList({
      description: "Labels to find the integration by.",
      resolve: ({ integration }) => JSON.parse(integration.labelsJson) as string[],
    }),
    isolation: t.field({
      type: IsolationEnum,
      description: "Which instances share what the integration's modules hold in memory.",
      resolve: ({ integration }) => (integration.isolatesInstances === 1 ? "instance" : "version"),
    }),
    documentation: t.string({
      description: "The builder's documentation, in Markdown.",
      resolve: async (item, _args, { store }) =>
        (await definitionOf(store.config, item))?.documentation ?? "",
    }),
    avatarUrl: t.string({
      nullable: true,
      description: "Where the integration's icon is.",
      resolve: ({ integration }) => integration.avatarUrl,
    }),
    customer: t.loadable({
      type: Customer,
      nullable: true,
      description: "The customer that the integration was made for.",
      load: loadCustomers,
      resolve: ({ integration }, _args, context) =>
        maySeeCustomer(context, integration.customerId) ? integration.customerId : null,
    }),
    isCodeNative: t.boolean({
      description: "Whether the integration is written in code.",
      resolve: async (item, _args, { store }) =>
        (await definitionOf(store.config, item))?.isCodeNative ?? item.integration.isCodeNative === 1,
    }),
    isDraft: t.boolean({
      description: "Whether this is the draft, not a published version.",
      resolve: ({ version }) => version === null,
    }),
    draft: t.field({
      type: Integration,
      description: "The integration's draft.",
      authScopes: { organization: true },
      resolve: ({ integration }) => draftOf(integration),
    }),
    versionNumber: t.int({
      description: "The version's number; of a draft the latest published number, 0 where there is none.",
      resolve: ({ integration, version }, _args, { store }) =>
        version?.number ?? latestNumber(store.config, integration.id),
    }),
    definition: t.string({
      nullable: true,
      description: "The YAML, without organization keys; null for a draft into which nothing was imported.",
      authScopes: { organization: true },
      args: {
        version: t.arg.int({
          description: `The version of the definition language, not of the integration: only ${definitionVersion} is written.`,
        }),
        useLatestComponentVersions: t.arg.boolean({
          description: "Accepted for the sake of clients: definitions name components without versions.",
        }),
      },
      resolve: ({ integration, version }, args) => {
        if (args.version != null && args.version !== definitionVersion) {
          throw new GraphQLError(`Definitions are written in version ${definitionVersion} only.`);
        }
        return version?.yaml ?? integration.draftYaml;
      },
    }),
    endpointType: t.field({
      type: EndpointTypeEnum,
      description: "What a webhook URL stands for.",
      resolve: async (item, _args, { store }) =>
        (await definitionOf(store.config, item))?.endpointType ?? "flow_specific",
    }),
    endpointConfig: t.field({
      type: EndpointConfig,
      nullable: true,
      description: "How webhooks find their customer and their flow; null where nothing was imported.",
      authScopes: { organization: true },
      resolve: async (item, _args, { store }) => {
        const definition = await definitionOf(store.config, item);
        if (definition === null) return null;
        const preprocess = definition.flows.find((flow) => flow.stableKey === definition.preprocessFlow);
        return { ...definition, preprocessFlowName: preprocess?.name ?? null };
      },
    }),
    sharedWebhookUrl: t.string({
      nullable: true,
      description:
        "The URL that all customers share; null unless the latest version that is deployed to a customer is shared.",
      resolve: async ({ integration }, _args, { store, urls }) => {
        const latest = (await latestDeployedVersions(store.config, [integration.id])).get(integration.id);
        return latest?.definition.endpointType === "shared_instance" ? urls.webhook(integration.token) : null;
      },
    }),
    sharedVersion: t.field({
      type: Integration,
      nullable: true,
      description:
        "The version that configures the shared URL: the latest one that is deployed to a customer, where that is shared.",
      authScopes: { organization: true },
      resolve: async ({ integration }, _args, { store }) => {
        const latest = (await latestDeployedVersions(store.config, [integration.id])).get(integration.id);
        return latest?.definition.endpointType === "shared_instance"
          ? findIntegration(store.config, latest.id)
          : null;
      },
    }),
    systemInstance: t.field({
      type: Instance,
      description: "Where tests of the draft run, for the test customer.",
      authScopes: { organization: true },
      resolve: ({ integration }, _args, context) => systemInstance(context, integration),
    }),
    testConfigVariables: t.connection(
      {
        type: InstanceConfigVariable,
        description: "The config variables of the system instance.",
        authScopes: { organization: true },
        args: statusFilters,
        resolve: async ({ integration }, args, context) => {
          const instance = await systemInstance(context, integration);
          return pageOfList(withStatus(await loadConfigVariables(context.store, instance), args), args);
        },
      },
      ConfigVariableConnection,
    ),
    createdAt: t.field({
      type: "DateTime",
      description: "When the integration was made.",
      resolve: ({ integration }) => integration.createdAtMs,
    }),
    updatedAt: t.field({
      type: "DateTime",
      description: "When the draft was last changed.",
      resolve: ({ integration }) => integration.updatedAtMs,
    }),
  }),
});

export const IntegrationConnection = builder.connectionObject(
  { type: Integration, name: "IntegrationConnection", description: "A page of integrations." },
  { name: "IntegrationEdge", description: "An integration with its cursor." },
);

const systemInstance = ({ store }: Context, { id }: IntegrationRow): Promise<InstanceRow> =>
  store.config
    .selectFrom("instances")
    .selectAll()
    .where("integrationId", "=", id)
    .where("isSystem", "=", 1)
    .executeTakeFirstOrThrow();

/** With all versions, more than this many are not listed. */
const listedMax = 10_000;

builder.queryFields((t) => ({
  integration: t.field({
    type: Integration,
    nullable: true,
    description: "One integration: a draft, or a published version.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The id of a draft or of a version." }) },
    resolve: (_root, args, context) => {
      const id = inputId("Integration", args.id);
      return id === null ? null : visibleIntegration(context, id);
    },
  }),
  integrations: t.connection(
    {
      type: Integration,
      description:
        "The integrations' drafts, by name; with allVersions also their versions, the newest first.",
      authScopes: { organization: true },
      args: {
        allVersions: t.arg.boolean({ description: "Also the published versions." }),
        customer: t.arg.id({ description: "Only those made for this customer." }),
        customer_Isnull: t.arg.boolean({
          description: "Only those made for no customer (true), or for one (false).",
        }),
        name_Icontains: t.arg.string({ description: "Only those with this text in their name." }),
        description_Icontains: t.arg.string({
          description: "Only those with this text in their description.",
        }),
        category: t.arg.string({ description: "Only those of this category." }),
        labels_Contains: t.arg.string({ description: "Only those with this label." }),
        search: t.arg.string({
          description: "Only those with this text in their name, description or category.",
        }),
      },
      resolve: async (_root, args, { store }) => {
        let query = store.config.selectFrom("integrations").selectAll("integrations");
        if (args.customer != null) {
          query = query.where("customerId", "=", inputId("Customer", args.customer) ?? "");
        }
        if (args.customer_Isnull != null) {
          query = query.where("customerId", args.customer_Isnull ? "is" : "is not", null);
        }
        if (args.name_Icontains) query = query.where(contains("integrations.name", args.name_Icontains));
        if (args.description_Icontains) {
          query = query.where(contains("integrations.description", args.description_Icontains));
        }
        if (args.category != null) query = query.where("category", "=", args.category);
        if (args.labels_Contains) {
          query = query.where(contains("labelsJson", JSON.stringify(args.labels_Contains)));
        }
        const { search } = args;
        if (search) {
          query = query.where((eb) =>
            eb.or(
              ["name", "description", "category"].map((column) => contains(`integrations.${column}`, search)),
            ),
          );
        }
        if (args.allVersions !== true) {
          return pageOfQuery(
            query,
            args,
            { columns: ["integrations.name", "integrations.id"], key: (row) => [row.name, row.id] },
            draftOf,
          );
        }
        const integrations = await query.orderBy("name").orderBy("id").limit(listedMax).execute();
        const versions = await store.config
          .selectFrom("versions")
          .select(["id", "integrationId"])
          .orderBy("number", "desc")
          .limit(listedMax)
          .execute();
        const byIntegration = Map.groupBy(versions, (version) => version.integrationId);
        const ids = integrations.flatMap(({ id }) => [
          id,
          ...(byIntegration.get(id) ?? []).map((version) => version.id),
        ]);
        const page = pageOfList(ids, args);
        const edges: { cursor: string; node: IntegrationItem }[] = [];
        for (const { cursor, node } of page.edges) {
          const item = await findIntegration(store.config, node);
          if (item !== null) edges.push({ cursor, node: item });
        }
        return { ...page, edges };
      },
    },
    IntegrationConnection,
  ),
}));

const integrationCheck = z.object({
  name: nameCheck.nullish(),
  description: textCheck.nullish(),
  category: z.string().max(200, "At most 200 characters.").nullish(),
  labels: labelsCheck.nullish(),
  avatarUrl: z
    .string()
    .max(2000, "At most 2,000 characters.")
    .refine((url) => url === "" || /^https?:\/\//.test(url), "It must be an http or https address.")
    .nullish(),
});

mutation("createIntegration", {
  description: "Makes an integration with an empty draft, to import a definition into.",
  authScopes: { admin: true },
  input: (t) => ({
    name: t.string({ required: true, description: "The integration's name." }),
    description: t.string({ description: "What the integration does." }),
    customer: t.id({ description: "The customer that the integration is for." }),
  }),
  check: integrationCheck,
  resolve: async (input, { store, feed }) => {
    const integration = await feed.transact(async (transaction) => {
      const customerId = await customerInput(transaction, input.customer);
      const row = await insertIntegration(transaction, store, {
        name: input.name.trim(),
        description: input.description ?? "",
        customerId,
      });
      await touchIntegration(transaction, row.id);
      return row;
    });
    return { integration: draftOf(integration) };
  },
  output: (t) => ({
    integration: t.expose("integration", {
      type: Integration,
      nullable: true,
      description: "The new integration's draft.",
    }),
  }),
});

mutation("importIntegration", {
  description:
    "Makes or updates a draft from YAML. Without integrationId the integration of the same name is updated, or a new one made.",
  authScopes: { admin: true },
  input: (t) => ({
    definition: t.string({ required: true, description: "The YAML, with definitionVersion 7." }),
    integrationId: t.id({ description: "The integration to update." }),
    replace: t.boolean({
      description:
        "Also where a code-native integration takes the place of a low-code one, or the other way.",
    }),
  }),
  resolve: async (input, context) => {
    const { integration, version } = await context.feed.transact(async (transaction) => {
      const draft = await compileDraft(transaction, input.definition);
      const found = await importTarget(transaction, input.integrationId, draft.definition.name);
      const isNative = draft.definition.isCodeNative;
      if (found !== undefined && found.draftDigest !== null && input.replace !== true) {
        if ((found.isCodeNative === 1) !== isNative) {
          throw new InputError(
            wholeInput,
            isNative
              ? `"${found.name}" is a low-code integration. Import with replace to make it a code-native one.`
              : `"${found.name}" is a code-native integration. Import with replace to make it a low-code one.`,
          );
        }
      }
      return importDraft(transaction, context, found, draft);
    });
    return {
      integration: draftOf(integration),
      pendingDataPlanes: await waitForDataPlanes(context, version),
    };
  },
  output: (t) => ({
    integration: t.expose("integration", { type: Integration, nullable: true, description: "The draft." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not know the draft yet.",
    }),
  }),
});

mutation("forkIntegration", {
  description: "Makes a new integration from another one's draft or version.",
  authScopes: { admin: true },
  input: (t) => ({
    parent: t.id({ required: true, description: "The draft or version to begin with." }),
    name: t.string({ required: true, description: "The new integration's name." }),
    description: t.string({ description: "What the new integration does." }),
  }),
  check: integrationCheck,
  resolve: async (input, context) => {
    const integration = await context.feed.transact(async (transaction) => {
      const parent = await requiredIntegration(transaction, input.parent, "parent");
      const yaml = parent.version?.yaml ?? parent.integration.draftYaml;
      if (yaml === null) throw new InputError("parent", "There is no definition to begin with.");
      const document = parseDocument(yaml);
      document.set("name", input.name.trim());
      if (input.description != null) document.set("description", input.description);
      const draft = await compileDraft(transaction, document.toString());
      return (await importDraft(transaction, context, undefined, draft)).integration;
    });
    return { integration: draftOf(integration) };
  },
  output: (t) => ({
    integration: t.expose("integration", {
      type: Integration,
      nullable: true,
      description: "The new integration's draft.",
    }),
  }),
});

mutation("validateIntegrationSchema", {
  description: "Whether a YAML could be imported, as far as its own shape says.",
  authScopes: { admin: true },
  input: (t) => ({ definition: t.string({ required: true, description: "The YAML." }) }),
  resolve: async (input) => {
    readYaml(input.definition);
    return { result: { isValid: true } };
  },
  output: (t) => ({
    result: t.expose("result", {
      type: ValidationResult,
      nullable: true,
      description: "The outcome; null where there are errors.",
    }),
  }),
});

const ValidationResult = builder
  .objectRef<{ isValid: boolean }>("ValidateIntegrationSchemaResult")
  .implement({
    description: "Whether a YAML could be imported.",
    fields: (t) => ({ isValid: t.exposeBoolean("isValid", { description: "Whether it could." }) }),
  });

mutation("updateIntegration", {
  description: "Changes an integration's draft; what is left out stays as it is.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The integration's id." }),
    name: t.string({ description: "The new name." }),
    description: t.string({ description: "The new description." }),
    category: t.string({ description: "The new category." }),
    labels: t.stringList({ required: { list: false, items: false }, description: "The new labels." }),
    avatarUrl: t.string({ description: "Where the icon is: the objectUrl of an upload." }),
    customer: t.id({ description: "The customer that the integration is for." }),
    isolation: t.field({
      type: IsolationEnum,
      required: false,
      description: "Whether instances share their version's modules; holds for all versions at once.",
    }),
    testConfigVariables: t.field({
      type: [ConfigVariableInput],
      required: { list: false, items: false },
      description: "Values for the config variables of the system instance.",
    }),
  }),
  check: integrationCheck,
  resolve: async (input, context) => {
    const { feed, store } = context;
    const integration = await feed.transact(async (transaction) => {
      const found = (await requiredIntegration(transaction, input.id, "id")).integration;
      const changes: DraftChanges = {};
      if (input.name != null) changes.name = input.name.trim();
      if (input.description != null) changes.description = input.description;
      if (input.category != null) changes.category = input.category;
      if (input.labels != null) {
        changes.labels = [...new Set(input.labels.map((label) => label?.trim() ?? ""))].filter(Boolean);
      }
      await touchIntegration(transaction, found.id);
      await changeDraft(transaction, found, changes);
      const columns: Partial<IntegrationRow> = { updatedAtMs: Date.now() };
      if (input.avatarUrl != null) columns.avatarUrl = input.avatarUrl || null;
      if (input.customer != null) columns.customerId = await customerInput(transaction, input.customer);
      if (input.isolation != null) columns.isolatesInstances = input.isolation === "instance" ? 1 : 0;
      const row = await transaction
        .updateTable("integrations")
        .set(columns)
        .where("id", "=", found.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      if (input.testConfigVariables != null) {
        const definition = await definitionOf(transaction, draftOf(row));
        if (definition === null) throw new InputError("testConfigVariables", "Import a definition first.");
        const instance = await transaction
          .selectFrom("instances")
          .select("id")
          .where("integrationId", "=", row.id)
          .where("isSystem", "=", 1)
          .executeTakeFirstOrThrow();
        await saveConfigVariables(
          transaction,
          store,
          instanceOwner(instance.id),
          instanceVariables(definition),
          input.testConfigVariables,
          "testConfigVariables",
        );
        await applyDraftConfigVariables(transaction, store, instance.id, definition);
      }
      await touchIntegration(transaction, row.id);
      return row;
    });
    return { integration: draftOf(integration) };
  },
  output: (t) => ({
    integration: t.expose("integration", { type: Integration, nullable: true, description: "The draft." }),
  }),
});

mutation("deleteIntegration", {
  description: "Deletes an integration with all its versions; refused while customers have instances of it.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The integration's id." }) }),
  resolve: async (input, { feed, store }) => {
    const owners: string[] = [];
    const integration = await feed.transact(async (transaction) => {
      const item = await requiredIntegration(transaction, input.id, "id");
      if (item.version !== null) {
        throw new InputError(
          "id",
          "This is the id of a version. Give the integration's id to delete it whole.",
        );
      }
      const { id } = item.integration;
      await refuseWhileInUse(transaction, id);
      await touchIntegration(transaction, id);
      const instances = await transaction
        .selectFrom("instances")
        .select("id")
        .where("integrationId", "=", id)
        .execute();
      await transaction
        .deleteFrom("apiKeys")
        .where("ownerId", "in", [id, ...instances.map((instance) => instance.id)])
        .execute();
      await transaction.deleteFrom("instances").where("integrationId", "=", id).execute();
      await transaction.deleteFrom("integrations").where("id", "=", id).execute();
      owners.push(id, ...instances.map((instance) => instance.id));
      return item;
    });
    await removeStates(store, owners);
    return { integration };
  },
  output: (t) => ({
    integration: t.expose("integration", {
      type: Integration,
      nullable: true,
      description: "The integration that was deleted.",
    }),
  }),
});

async function importTarget(
  transaction: ConfigTransaction,
  nodeId: string | null | undefined,
  name: string,
): Promise<IntegrationRow | undefined> {
  if (nodeId != null) {
    return (await requiredIntegration(transaction, nodeId, "integrationId")).integration;
  }
  return transaction
    .selectFrom("integrations")
    .selectAll()
    .where("name", "=", name)
    .orderBy("createdAtMs")
    .limit(1)
    .executeTakeFirst();
}

async function importDraft(
  transaction: ConfigTransaction,
  { store }: Context,
  found: IntegrationRow | undefined,
  draft: Awaited<ReturnType<typeof compileDraft>>,
): Promise<{ integration: IntegrationRow; version: number }> {
  const { name, description } = draft.definition;
  const target =
    found ?? (await insertIntegration(transaction, store, { name, description, customerId: null }));
  const integration = await saveDraft(transaction, store, target.id, draft);
  if (target.draftDigest !== null) {
    // The draft before this one may be used by nothing now: then it leaves the feed.
    await touch(transaction, [{ kind: "definition", id: target.draftDigest }]);
  }
  return { integration, version: await touchIntegration(transaction, integration.id) };
}

async function refuseWhileInUse(transaction: ConfigTransaction, integrationId: string): Promise<void> {
  const rows = await transaction
    .selectFrom("instances")
    .innerJoin("customers", "customers.id", "instances.customerId")
    .select(["customers.name"])
    .distinct()
    .where("instances.integrationId", "=", integrationId)
    .where("instances.isSystem", "=", 0)
    .orderBy("customers.name")
    .execute();
  if (rows.length === 0) return;
  const names = rows.slice(0, 10).map((row) => `"${row.name}"`);
  const more = rows.length > names.length ? ` and ${rows.length - names.length} more` : "";
  throw new InputError(
    wholeInput,
    `Customers have instances of this integration: ${names.join(", ")}${more}. Delete those instances first.`,
  );
}

async function customerInput(
  transaction: ConfigTransaction,
  nodeId: string | null | undefined,
): Promise<string | null> {
  if (nodeId == null) return null;
  const id = requiredId("Customer", nodeId, "customer");
  const row = await transaction.selectFrom("customers").select("id").where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw notFound("customer", "customer");
  return id;
}
