/** Config variables of instances: what a version asks for, and what the instance was given. */
import type { Definition } from "../../shared/definition.ts";
import { isUuid } from "../../shared/ids.ts";
import { type Context, maySeeCustomer } from "../context.ts";
import { configuredVersionOf } from "../store/configuredVersions.ts";
import {
  instanceOwner,
  instanceVariables,
  readConfigVariables,
  sealedConfigVarsOf,
} from "../store/configVariables.ts";
import { withReferences } from "../store/connectionReferences.ts";
import type { ConfigTransaction, Store } from "../store/store.ts";
import { builder } from "./builder.ts";
import { configVariableFields, shownConnectionInputs, withStatus } from "./configVariableFields.ts";
import { pageOfList } from "./connections.ts";
import { type ConfigVariableItem, InstanceConfigVariable } from "./instanceRefs.ts";
import { Instance, type InstanceRow } from "./refs.ts";

/** A draft has no deploy: its system instance runs on what is stored, from the next change of the feed on. */
export async function applyDraftConfigVariables(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
  definition: Definition,
): Promise<void> {
  const deployedSealedConfigVars = await sealedConfigVarsOf(transaction, store, instanceId, definition);
  await transaction
    .updateTable("instances")
    .set({ deployedSealedConfigVars })
    .where("id", "=", instanceId)
    .execute();
}

/** The variables of the version that the instance is set to, in the version's order; not those of its users. */
export async function loadConfigVariables(
  store: Store,
  instance: InstanceRow,
): Promise<ConfigVariableItem[]> {
  const configured = await configuredVersionOf(store.config, instance);
  if (configured === null) return [];
  const owner = instanceOwner(instance.id);
  const given = await readConfigVariables(store.config, store, owner);
  const shown = await shownConnectionInputs(store.config, configured);
  const variables = instanceVariables(withReferences(configured.definition, given));
  return variables.map((variable) => ({
    instance,
    owner,
    configured,
    variable,
    given: given.get(variable.key),
    shownInputs: shown.get(variable.connectionKey ?? "") ?? new Set(),
  }));
}

builder.node(InstanceConfigVariable, {
  description: "A config variable of an instance.",
  authScopes: ({ instance }, context) => maySeeCustomer(context, instance.customerId),
  id: { resolve: ({ instance, variable }) => `${instance.id}/${variable.key}` },
  isTypeOf: undefined,
  loadOne: (id, context) => loadConfigVariable(context, id),
  fields: configVariableFields,
});

export const ConfigVariableConnection = builder.connectionObject(
  {
    type: InstanceConfigVariable,
    name: "InstanceConfigVariableConnection",
    description: "A page of config variables.",
  },
  { name: "InstanceConfigVariableEdge", description: "A config variable with its cursor." },
);

export const statusFilters = builder.args((t) => ({
  status: t.string({ description: "Only connections in this state: pending, active or error." }),
  status_In: t.stringList({
    required: { list: false, items: false },
    description: "Only connections in one of these states.",
  }),
}));

builder.objectField(Instance, "configVariables", (t) =>
  t.connection(
    {
      type: InstanceConfigVariable,
      description: "The config variables of the version that the instance is set to; not those of its users.",
      args: statusFilters,
      resolve: async (instance, args, { store }) =>
        pageOfList(withStatus(await loadConfigVariables(store, instance), args), args),
    },
    ConfigVariableConnection,
  ),
);

export async function loadConfigVariable(context: Context, id: string): Promise<ConfigVariableItem | null> {
  const slash = id.indexOf("/");
  const instanceId = id.slice(0, slash);
  if (slash < 0 || !isUuid(instanceId)) return null;
  const instance = await context.store.config
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", instanceId)
    .executeTakeFirst();
  if (instance === undefined || !maySeeCustomer(context, instance.customerId)) return null;
  const items = await loadConfigVariables(context.store, instance);
  return items.find((item) => item.variable.key === id.slice(slash + 1)) ?? null;
}
