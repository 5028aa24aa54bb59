/** Components: published packages of code with their actions, and the built-in ones. */
import { z } from "zod";
import { isUuid, newId, toNodeId } from "../../shared/ids.ts";
import {
  type ActionPart,
  type ComponentParts,
  componentPartsSchema,
  descriptionOf,
  labelOf,
} from "../store/componentParts.ts";
import {
  type ComponentHead,
  componentById,
  integrationsUsing,
  listComponents,
  partsOf,
} from "../store/components.ts";
import { uploadUrl } from "../uploads.ts";
import { builder } from "./builder.ts";
import { searchFilter } from "./componentSearch.ts";
import { pageOfList } from "./connections.ts";
import { loadCustomers } from "./customers.ts";
import { inputId, notFound, requiredId } from "./inputs.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Component, Customer } from "./refs.ts";

type ActionKind = "action" | "trigger" | "dataSource";

/** An action, trigger or data source of a component. */
export interface ActionItem {
  component: ComponentHead;
  kind: ActionKind;
  part: ActionPart;
}

export const Action = builder.objectRef<ActionItem>("Action");

builder.node(Component, {
  description: "A published package of code with its actions, or a built-in one.",
  authScopes: { organization: true },
  id: { resolve: (component) => component.id },
  loadOne: async (id, { viewer, store }) =>
    viewer?.role === "ADMIN" || viewer?.role === "MEMBER" ? await componentById(store.config, id) : null,
  fields: (t) => ({
    key: t.exposeString("key", { description: "What definitions name the component by." }),
    public: t.boolean({
      description: "Whether it is one of the built-in components.",
      resolve: (component) => component.isBuiltIn,
    }),
    label: t.exposeString("label", { description: "The component's name, for people." }),
    description: t.exposeString("description", { description: "What the component is for." }),
    versionNumber: t.exposeInt("versionNumber", { description: "Counts up with each publish of the key." }),
    versionCreatedAt: t.field({
      type: "DateTime",
      description: "When this version was published.",
      resolve: (component) => component.createdAtMs,
    }),
    versionComment: t.exposeString("comment", { description: "What its publisher said about this version." }),
    category: t.exposeString("category", { description: "What the component is listed under." }),
    documentationUrl: t.exposeString("documentationUrl", { description: "Where its documentation is." }),
    iconUrl: t.exposeString("iconUrl", { nullable: true, description: "Where its icon is." }),
    signature: t.exposeString("signature", {
      nullable: true,
      description: "SHA-1 of the package, in hex: tells whether a build is the one that was published.",
    }),
    forCodeNativeIntegration: t.boolean({
      description: "Whether it is the code of a code-native integration.",
      resolve: (component) => component.isCodeNative === 1,
    }),
    customer: t.loadable({
      type: Customer,
      nullable: true,
      description: "The customer that the component was published for.",
      load: loadCustomers,
      resolve: (component) => component.customerId,
    }),
    actions: t.connection(
      {
        type: Action,
        description: "The component's actions, triggers and data sources.",
        args: {
          isTrigger: t.arg.boolean({ description: "Only triggers (true), or no triggers (false)." }),
          isDataSource: t.arg.boolean({
            description: "Only data sources (true), or no data sources (false).",
          }),
        },
        resolve: async (component, args, { store }) => {
          const parts = await partsOf(store.config, component);
          const items = [
            ...parts.actions.map((part): ActionItem => ({ component, kind: "action", part })),
            ...parts.triggers.map((part): ActionItem => ({ component, kind: "trigger", part })),
            ...parts.dataSources.map((part): ActionItem => ({ component, kind: "dataSource", part })),
          ];
          const wanted = items.filter(
            ({ kind }) =>
              (args.isTrigger == null || args.isTrigger === (kind === "trigger")) &&
              (args.isDataSource == null || args.isDataSource === (kind === "dataSource")),
          );
          return pageOfList(wanted, args);
        },
      },
      { name: "ActionConnection", description: "A page of actions." },
      { name: "ActionEdge", description: "An action with its cursor." },
    ),
  }),
});

export const ScheduleSupport = builder.enumType("TriggerOptionChoice", {
  description: "Whether a trigger can, must or can't have something.",
  values: {
    INVALID: { value: "invalid", description: "It can't." },
    VALID: { value: "valid", description: "It can." },
    REQUIRED: { value: "required", description: "It must." },
  } as const,
});

const DetailDataSource = builder.objectRef<ActionItem>("DetailDataSource").implement({
  description: "A data source that gives details of another one's choices.",
  fields: (t) => ({
    label: t.string({ description: "Its name, for people.", resolve: ({ part }) => labelOf(part) }),
  }),
});

builder.objectType(Action, {
  description: "An action, trigger or data source of a component.",
  fields: (t) => ({
    id: t.id({
      description: "The global id of the object.",
      resolve: ({ component, kind, part }) =>
        toNodeId("ComponentAction", `${component.id}:${kind}:${part.key}`),
    }),
    key: t.string({
      description: "What definitions name the action by.",
      resolve: ({ part }) => part.key,
    }),
    label: t.string({ description: "Its name, for people.", resolve: ({ part }) => labelOf(part) }),
    description: t.string({
      description: "What it does.",
      resolve: ({ part }) => descriptionOf(part),
    }),
    component: t.field({
      type: Component,
      description: "The component it belongs to.",
      resolve: ({ component }) => component,
    }),
    isTrigger: t.boolean({
      description: "Whether it is a trigger.",
      resolve: ({ kind }) => kind === "trigger",
    }),
    isDataSource: t.boolean({
      description: "Whether it is a data source.",
      resolve: ({ kind }) => kind === "dataSource",
    }),
    isPollingTrigger: t.boolean({
      description: "Whether it is a trigger that asks for new data on a schedule.",
      resolve: ({ part }) => part.isPollingTrigger ?? false,
    }),
    scheduleSupport: t.field({
      type: ScheduleSupport,
      nullable: true,
      description: "Whether the trigger runs on a schedule; null for what is not a trigger.",
      resolve: ({ kind, part }) => {
        if (kind !== "trigger") return null;
        const choice = part.scheduleSupport?.toLowerCase();
        return choice === "valid" || choice === "required" ? choice : "invalid";
      },
    }),
    dataSourceType: t.string({
      nullable: true,
      description: "What a data source gives; null for what is not one.",
      resolve: ({ part }) => part.dataSourceType ?? null,
    }),
    detailDataSource: t.field({
      type: DetailDataSource,
      nullable: true,
      description: "The data source that gives details of this one's choices, if there is one.",
      resolve: async ({ component, part }, _args, { store }) => {
        const key = (part as { detailDataSource?: unknown }).detailDataSource;
        if (typeof key !== "string") return null;
        const parts = await partsOf(store.config, component);
        const found = parts.dataSources.find((candidate) => candidate.key === key);
        return found === undefined ? null : { component, kind: "dataSource" as const, part: found };
      },
    }),
  }),
});

export const ComponentConnection = builder.connectionObject(
  { type: Component, name: "ComponentConnection", description: "A page of components." },
  { name: "ComponentEdge", description: "A component with its cursor." },
);

builder.queryFields((t) => ({
  component: t.field({
    type: Component,
    nullable: true,
    description: "One component.",
    authScopes: { organization: true },
    args: { id: t.arg.id({ required: true, description: "The component's id." }) },
    resolve: (_root, args, { store }) => {
      const id = inputId("Component", args.id);
      return id === null ? null : componentById(store.config, id);
    },
  }),
  components: t.connection(
    {
      type: Component,
      description: "The components whose packages are ready, by key: the newest version of each.",
      authScopes: { organization: true },
      args: {
        key: t.arg.string({ description: "Only the component with this key." }),
        public: t.arg.boolean({ description: "Only built-in components (true), or all others (false)." }),
        versionNumber: t.arg.int({ description: "Only this version." }),
        allVersions: t.arg.boolean({ description: "All versions, not only the newest." }),
        includeComponentsForCodeNativeIntegrations: t.arg.boolean({
          description: "Also the code of code-native integrations.",
        }),
        filterQuery: t.arg({
          type: "JSONString",
          description:
            'A search: ["in", "key", "text"] finds the text in the key, whatever its case; also "eq"; fields key, label, description, category; joined by ["or", ...] and ["and", ...].',
        }),
      },
      resolve: async (_root, args, { store }) => {
        const isFound = searchFilter(args.filterQuery);
        const components = await listComponents(store.config, {
          key: args.key ?? null,
          isPublic: args.public ?? null,
          versionNumber: args.versionNumber ?? null,
          allVersions: args.allVersions ?? null,
          withCodeNative: args.includeComponentsForCodeNativeIntegrations ?? null,
        });
        return pageOfList(components.filter(isFound), args);
      },
    },
    ComponentConnection,
  ),
}));

/**
 * What builders' tools send for a component and its parts: whole objects, with fields that differ from version
 * to version of the tools. As scalars they are taken whole, and checked here for what is needed.
 */
for (const [name, description] of [
  [
    "ComponentDefinitionInput",
    "A component: an object with key, display {label, description, category} and more.",
  ],
  ["ActionDefinitionInput", "An action of a component: an object with key, display, inputs and more."],
  ["TriggerDefinitionInput", "A trigger of a component: an object with key, display, inputs and more."],
  [
    "DataSourceDefinitionInput",
    "A data source of a component: an object with key, display, inputs and more.",
  ],
  ["ConnectionDefinitionInput", "A connection of a component: an object with key, label, inputs and more."],
] as const) {
  builder.scalarType(name, {
    description,
    serialize: (value) => value,
    parseValue: (value) => {
      if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as object;
      throw new TypeError(`A ${name} must be an object.`);
    },
  });
}

const definitionCheck = z
  .object({
    key: z
      .string()
      .trim()
      .min(1, "The component needs a key.")
      .max(200, "The key has 200 characters at most."),
    public: z.boolean().nullish(),
    documentationUrl: z.string().max(2000).nullish(),
    forCodeNativeIntegration: z.boolean().nullish(),
    display: z
      .object({
        label: z.string().max(200),
        description: z.string().max(10_000),
        category: z.string().max(200).nullish(),
      })
      .loose(),
  })
  .loose();

const definitionBytesMax = 16 * 1024 * 1024;

interface ConnectionIcon {
  connectionKey: string;
  iconUploadUrl: string;
}

const ConnectionIconUploadUrl = builder.objectRef<ConnectionIcon>("ConnectionIconUploadUrl").implement({
  description: "Where a connection's icon is put.",
  fields: (t) => ({
    connectionKey: t.exposeString("connectionKey", { description: "The connection's key." }),
    iconUploadUrl: t.exposeString("iconUploadUrl", { description: "Put the PNG file here, within an hour." }),
  }),
});

interface PublishResult {
  component: ComponentHead;
  packageUploadUrl: string;
  iconUploadUrl: string;
  sourceUploadUrl: string;
  connectionIconUploadUrls: ConnectionIcon[];
}

const PublishResultType = builder.objectRef<PublishResult>("PublishComponentResult").implement({
  description: "The new version of a component, and where its files are put.",
  fields: (t) => ({
    component: t.expose("component", {
      type: Component,
      description: "The new version: it is listed once its package is there.",
    }),
    packageUploadUrl: t.exposeString("packageUploadUrl", {
      description: "Put the zip of the package here, within an hour.",
    }),
    iconUploadUrl: t.exposeString("iconUploadUrl", { description: "Put the PNG icon here, within an hour." }),
    sourceUploadUrl: t.exposeString("sourceUploadUrl", {
      description: "The source may be put here; it is not kept.",
    }),
    connectionIconUploadUrls: t.expose("connectionIconUploadUrls", {
      type: [ConnectionIconUploadUrl],
      description: "Where the connections' icons may be put; they are not kept.",
    }),
    connectionAvatarIconUploadUrls: t.field({
      type: [ConnectionIconUploadUrl],
      description: "Where the connections' avatar icons may be put; they are not kept.",
      resolve: (result) => result.connectionIconUploadUrls,
    }),
  }),
});

/** prism looks for an icon of each connection that it is given an address for, and fails where there is none. */
const hasIcon = ({ iconPath, avatarIconPath }: ComponentParts["connections"][number]): boolean =>
  (iconPath ?? avatarIconPath ?? "") !== "";

mutation("publishComponent", {
  description:
    "Publishes a new version of a component. It can be used once its package was put to packageUploadUrl.",
  authScopes: { admin: true },
  input: (t) => ({
    definition: t.field({
      type: "ComponentDefinitionInput",
      required: true,
      description: "The component itself.",
    }),
    actions: t.field({
      type: ["ActionDefinitionInput"],
      required: { list: true, items: false },
      description: "The component's actions.",
    }),
    triggers: t.field({
      type: ["TriggerDefinitionInput"],
      required: { list: false, items: false },
      description: "The component's triggers.",
    }),
    dataSources: t.field({
      type: ["DataSourceDefinitionInput"],
      required: { list: false, items: false },
      description: "The component's data sources.",
    }),
    connections: t.field({
      type: ["ConnectionDefinitionInput"],
      required: { list: false, items: false },
      description: "The component's connections.",
    }),
    comment: t.string({ description: "What is new in this version." }),
    customer: t.id({ description: "The customer that the component is for." }),
    attributes: t.string({ description: "JSON with facts on where the version comes from." }),
  }),
  resolve: async (input, context) => {
    const { feed, viewer } = context;
    const definition = definitionCheck.safeParse(input.definition);
    if (!definition.success) throw new InputError("definition", sentences(definition.error));
    if (definition.data.public === true) {
      throw new InputError("definition", "Public components are built in. Publish yours with public: false.");
    }
    const parts = componentPartsSchema.safeParse({
      actions: withoutNulls(input.actions),
      triggers: withoutNulls(input.triggers),
      dataSources: withoutNulls(input.dataSources),
      connections: withoutNulls(input.connections),
    });
    if (!parts.success) throw new InputError(wholeInput, sentences(parts.error));
    const definitionJson = JSON.stringify(parts.data);
    if (definitionJson.length > definitionBytesMax) {
      throw new InputError(
        wholeInput,
        `The component's definition has more than ${definitionBytesMax} bytes.`,
      );
    }
    const customerId = input.customer == null ? null : requiredId("Customer", input.customer, "customer");
    const { key, display, documentationUrl, forCodeNativeIntegration } = definition.data;
    const component = await feed.transact(async (transaction) => {
      const newest = await transaction
        .selectFrom("components")
        .select((eb) => eb.fn.max("versionNumber").as("number"))
        .where("key", "=", key)
        .executeTakeFirst();
      if (customerId !== null) {
        const customer = await transaction
          .selectFrom("customers")
          .select("id")
          .where("id", "=", customerId)
          .executeTakeFirst();
        if (customer === undefined) throw notFound("customer", "customer");
      }
      const head: Omit<ComponentHead, "isBuiltIn"> = {
        id: newId(),
        key,
        versionNumber: (newest?.number ?? 0) + 1,
        isCodeNative: forCodeNativeIntegration === true ? 1 : 0,
        label: display.label,
        description: display.description,
        category: display.category ?? "",
        documentationUrl: documentationUrl ?? "",
        customerId,
        comment: input.comment ?? "",
        attributesJson: input.attributes ?? null,
        iconUrl: null,
        status: "PENDING",
        refusal: null,
        signature: null,
        digest: null,
        createdAtMs: Date.now(),
        createdByUserId: viewer?.role === "ADMIN" ? viewer.userId : null,
      };
      await transaction
        .insertInto("components")
        .values({ ...head, definitionJson })
        .execute();
      return { ...head, isBuiltIn: false };
    });
    const unused = uploadUrl(context, { kind: "unused" });
    const publishResult: PublishResult = {
      component,
      packageUploadUrl: uploadUrl(context, { kind: "package", componentId: component.id }),
      iconUploadUrl: uploadUrl(context, { kind: "icon", mediaId: newId(), componentId: component.id }),
      sourceUploadUrl: unused,
      connectionIconUploadUrls: parts.data.connections.filter(hasIcon).map((connection) => ({
        connectionKey: connection.key,
        iconUploadUrl: unused,
      })),
    };
    return { publishResult };
  },
  output: (t) => ({
    publishResult: t.expose("publishResult", {
      type: PublishResultType,
      nullable: true,
      description: "The new version, and where its files are put.",
    }),
  }),
});

mutation("deleteComponent", {
  description: "Deletes one version of a component; refused while an integration runs on it.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The component's id." }) }),
  resolve: async (input, { feed }) => {
    const id = inputId("Component", input.id);
    if (id === null || !isUuid(id)) {
      throw new InputError("id", "This is not the id of a component that was published.");
    }
    const component = await feed.transact(async (transaction) => {
      const head = await componentById(transaction, id);
      if (head === null) throw notFound("id", "component");
      const users = head.digest === null ? [] : await integrationsUsing(transaction, head.digest);
      if (users.length > 0) {
        const names = users.slice(0, 10).map((name) => `"${name}"`);
        throw new InputError(wholeInput, `Integrations run on this component: ${names.join(", ")}.`);
      }
      await transaction.deleteFrom("components").where("id", "=", id).execute();
      return head;
    });
    return { component };
  },
  output: (t) => ({
    component: t.expose("component", {
      type: Component,
      nullable: true,
      description: "The component that was deleted.",
    }),
  }),
});

const withoutNulls = <Item>(list: readonly (Item | null | undefined)[] | null | undefined): Item[] =>
  (list ?? []).filter((item): item is Item => item != null);

const sentences = (error: z.ZodError): string[] =>
  error.issues.map((issue) => `${issue.path.join(".") || "It"}: ${issue.message}`);
