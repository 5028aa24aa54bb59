/** The content of the wizard's pages: what data sources give for an instance's config variables. */

import { idFromNodeId, toNodeId } from "../../shared/ids.ts";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import type { Context } from "../context.ts";
import { type CommandPayload, enqueueCommand } from "../store/commandQueue.ts";
import { takeCommandResult, withdrawCommand } from "../store/commandResults.ts";
import type { ConfiguredVersion } from "../store/configuredVersions.ts";
import {
  configVarValues,
  instanceOwner,
  readConfigVariables,
  sealDeployed,
  userVariables,
  type VariableOwner,
} from "../store/configVariables.ts";
import { waitForCommand } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { mayAuthorize } from "./configVariableFields.ts";
import { loadConfigVariables } from "./configVariables.ts";
import { notFound, requiredId } from "./inputs.ts";
import type { ConfigVariableItem } from "./instanceRefs.ts";
import { loadInstance } from "./instances.ts";
import { type FieldError, InputError, mutation, wholeInput } from "./payloads.ts";
import { Instance, type InstanceRow } from "./refs.ts";
import { loadUserVariables } from "./userLevelConfigs.ts";

interface Content {
  content: unknown;
  instance: InstanceRow;
}

const contentFields = {
  content:
    "What the data sources gave, by the config variable's key: what there is to choose from, or a form.",
  instance: "The instance, with its config variables as they are now.",
};

const PageContent = builder.objectRef<Content>("FetchConfigWizardPageContentResult").implement({
  description: "What a page of the wizard shows.",
  fields: (t) => ({
    content: t.expose("content", { type: "JSONString", description: contentFields.content }),
    instance: t.expose("instance", { type: Instance, description: contentFields.instance }),
  }),
});

const SourceContent = builder.objectRef<Content>("FetchDataSourceContentResult").implement({
  description: "What a data source gave.",
  fields: (t) => ({
    content: t.expose("content", {
      type: "JSONString",
      description: "The data source's result: what there is to choose from, or a form.",
    }),
    instance: t.expose("instance", { type: Instance, description: contentFields.instance }),
  }),
});

mutation("fetchConfigWizardPageContent", {
  description:
    "Runs the data sources of a page of the wizard on a data plane, with the instance's saved values. What could not be run is among the errors.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The instance's id." }),
    pageName: t.string({ description: "The page; all of them where it is left out." }),
  }),
  resolve: async (input, context) => {
    const { instance, items } = await variablesOf(context, input.id, null);
    const keys = keysOfPage(items, input.pageName ?? null);
    const wanted = items.filter(
      ({ variable }) => variable.dataSource !== undefined && keys?.has(variable.key) !== false,
    );
    const outcomes = await runDataSources(context, wanted);
    const content: Record<string, unknown> = {};
    const errors: FieldError[] = [];
    for (const [index, outcome] of outcomes.entries()) {
      const { key } = wanted[index]!.variable;
      if (outcome.ok) content[key] = outcome.content;
      else errors.push({ field: key, messages: [outcome.error] });
    }
    return { fetchConfigWizardPageContentResult: { content, instance }, errors };
  },
  output: (t) => ({
    fetchConfigWizardPageContentResult: t.expose("fetchConfigWizardPageContentResult", {
      type: PageContent,
      nullable: true,
      description: "What the page shows.",
    }),
  }),
});

mutation("fetchDataSourceContent", {
  description:
    "Runs the data source of one config variable on a data plane, with the instance's saved values.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The instance's id." }),
    configVariable: t.string({ required: true, description: "The config variable's key." }),
    userLevelConfig: t.id({
      description: "For a config variable that each user sets: the id of the user's configuration.",
    }),
  }),
  resolve: async (input, context) => {
    const configId =
      input.userLevelConfig == null
        ? null
        : requiredId("UserLevelConfig", input.userLevelConfig, "userLevelConfig");
    const { instance, items } = await variablesOf(context, input.id, configId);
    const item = items.find(({ variable }) => variable.key === input.configVariable);
    if (item === undefined) throw notFound("configVariable", "config variable");
    if (item.variable.dataSource === undefined) {
      throw new InputError("configVariable", `"${item.variable.key}" has no data source.`);
    }
    const outcome = (await runDataSources(context, [item]))[0]!;
    if (!outcome.ok) throw new InputError(wholeInput, outcome.error);
    return { fetchDataSourceContentResult: { content: outcome.content, instance } };
  },
  output: (t) => ({
    fetchDataSourceContentResult: t.expose("fetchDataSourceContentResult", {
      type: SourceContent,
      nullable: true,
      description: "What the data source gave.",
    }),
  }),
});

/** The variables of the instance, or those of one user, where the viewer may set them. */
async function variablesOf(
  context: Context,
  nodeId: string,
  configId: string | null,
): Promise<{ instance: InstanceRow; items: ConfigVariableItem[] }> {
  const id = idFromNodeId("Instance", nodeId);
  const instance = id === null ? null : await loadInstance(context, id);
  if (instance === null) throw notFound("id", "instance");
  const found =
    configId === null
      ? await loadConfigVariables(context.store, instance)
      : await loadUserVariables(context, configId);
  const items = found.filter((item) => item.instance.id === instance.id && mayAuthorize(context, item));
  if (items.length === 0) throw notFound("id", "instance with config variables that you may set");
  return { instance, items };
}

/** Null for all. */
function keysOfPage(items: readonly ConfigVariableItem[], pageName: string | null): Set<string> | null {
  if (pageName === null) return null;
  const pages = items[0]!.configured.definition.configPages ?? [];
  const page = pages.find(({ name }) => name === pageName);
  if (page === undefined) throw new InputError("pageName", `There is no page "${pageName.slice(0, 200)}".`);
  return new Set(page.elements.filter(({ type }) => type === "configVar").map(({ value }) => value));
}

type Outcome = { ok: true; content: unknown } | { ok: false; error: string };

/** Longer than a data plane gives a data source. */
const waitMs = 25_000;

/** One after the other in the order given, but run beside each other. */
async function runDataSources(context: Context, items: readonly ConfigVariableItem[]): Promise<Outcome[]> {
  const { feed } = context;
  if (items.length === 0) return [];
  if (feed.liveDataPlanes().length === 0) {
    const error = "No data plane is connected to run the data source: try again later.";
    return items.map(() => ({ ok: false, error }));
  }
  const payloads = await Promise.all(items.map((item) => payloadOf(context, item)));
  const commandIds = await feed.transact(async (transaction) => {
    const ids: (string | null)[] = [];
    for (const payload of payloads)
      ids.push(payload === null ? null : await enqueueCommand(transaction, "RUN_DATA_SOURCE", payload));
    return ids;
  });
  return Promise.all(
    commandIds.map((id, index): Promise<Outcome> | Outcome =>
      id === null ? unknownComponent(items[index]!) : outcomeOf(context, id),
    ),
  );
}

const unknownComponent = ({ variable }: ConfigVariableItem): Outcome => ({
  ok: false,
  error: `The component "${variable.dataSource!.componentKey}" of this data source is not part of Switchyard.`,
});

async function outcomeOf(context: Context, commandId: string): Promise<Outcome> {
  const { store } = context;
  const outcome = await waitForCommand(context, commandId, waitMs);
  if (outcome === null) {
    await withdrawCommand(store, commandId);
    return { ok: false, error: `The data source gave nothing within ${waitMs / 1000} s.` };
  }
  if (outcome.error !== null) return { ok: false, error: outcome.error };
  const given = (await takeCommandResult(store, commandId)) as { result?: unknown } | null;
  return { ok: true, content: given?.result ?? null };
}

/** All that a data plane needs: what it has of the instance is what was deployed, if anything. */
async function payloadOf(
  context: Context,
  { configured, instance, owner, variable }: ConfigVariableItem,
): Promise<CommandPayload<"RUN_DATA_SOURCE"> | null> {
  const dataSource = variable.dataSource!;
  const digest = configured.definition.bundles[dataSource.componentKey];
  if (dataSource.isPublic || digest === undefined) return null;
  return {
    dataSource,
    digest,
    inputs: variable.inputs,
    sealedConfigVars: sealDeployed(context.store, await valuesOf(context, configured, owner)),
    attributes: await attributesOf(context, instance, owner),
  };
}

/** What was saved, deployed or not; a user's own over the instance's. */
async function valuesOf(
  { store }: Context,
  { definition }: ConfiguredVersion,
  { instanceId, userId }: VariableOwner,
) {
  const values = configVarValues(
    definition,
    await readConfigVariables(store.config, store, instanceOwner(instanceId)),
  );
  if (userId === null) return values;
  const given = await readConfigVariables(store.config, store, { instanceId, userId });
  const requiredConfigVars: RequiredConfigVar[] = userVariables(definition).filter(({ key }) =>
    given.has(key),
  );
  return { ...values, ...configVarValues({ ...definition, requiredConfigVars }, given) };
}

async function attributesOf({ store }: Context, instance: InstanceRow, { userId }: VariableOwner) {
  const { config } = store;
  const customer = await config
    .selectFrom("customers")
    .selectAll()
    .where("id", "=", instance.customerId)
    .executeTakeFirstOrThrow();
  const user =
    userId === null
      ? undefined
      : await config.selectFrom("users").selectAll().where("id", "=", userId).executeTakeFirst();
  return {
    customer: {
      id: toNodeId("Customer", customer.id),
      externalId: customer.externalId ?? "",
      name: customer.name,
    },
    instance: { id: toNodeId("Instance", instance.id), name: instance.name },
    user:
      user === undefined
        ? { id: "", email: "", name: "", externalId: "" }
        : {
            id: toNodeId("User", user.id),
            email: user.email,
            name: user.name,
            externalId: user.externalId ?? "",
          },
  };
}
