/** What each user of a customer configures for an instance: runs that are bound to the user see it. */
import { z } from "zod";
import { idFromNodeId, isUuid, newId } from "../../shared/ids.ts";
import type { Context } from "../context.ts";
import { customerScope, isOrganization, maySeeCustomer, viewerUserId } from "../context.ts";
import { type ConfiguredVersion, configuredVersionOf, readDefinition } from "../store/configuredVersions.ts";
import { readConfigVariables, userVariables } from "../store/configVariables.ts";
import { withReferences } from "../store/connectionReferences.ts";
import { touchInstance } from "../store/feedVersions.ts";
import { pendingTokens } from "../store/oauthTokens.ts";
import type { ConfigTransaction } from "../store/store.ts";
import {
  areUserConfigsWithinBounds,
  deployUserConfig,
  type UserLevelConfigRow,
  userConfigCharactersMax,
  userConfigsMax,
} from "../store/userConfigs.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { configVariableFields, shownConnectionInputs, withStatus } from "./configVariableFields.ts";
import { ConfigVariableInput, saveConfigVariables } from "./configVariableInputs.ts";
import { statusFilters } from "./configVariables.ts";
import { oauthConnection, replaceToken } from "./connectionMutations.ts";
import { pageOfList, pageOfQuery } from "./connections.ts";
import { notFound, requiredId } from "./inputs.ts";
import type { ConfigVariableItem } from "./instanceRefs.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Instance, type InstanceRow, User } from "./refs.ts";

/** A user's configuration, with the instance that it is for. */
interface UserConfigItem {
  row: UserLevelConfigRow;
  instance: InstanceRow;
}

type UserVariableItem = ConfigVariableItem & { configId: string };

const UserLevelConfig = builder.objectRef<UserConfigItem>("UserLevelConfig");
const UserLevelConfigVariable = builder.objectRef<UserVariableItem>("UserLevelConfigVariable");

builder.node(UserLevelConfigVariable, {
  description: "A config variable with the value of one user of the customer.",
  authScopes: ({ instance, owner }, context) => maySee(context, instance, owner.userId ?? ""),
  id: { resolve: ({ configId, variable }) => `${configId}/${variable.key}` },
  isTypeOf: undefined,
  loadOne: (id, context) => loadVariable(context, id),
  fields: (t) => configVariableFields(t),
});

const VariableConnection = builder.connectionObject(
  {
    type: UserLevelConfigVariable,
    name: "UserLevelConfigVariableConnection",
    description: "A page of config variables of a user.",
  },
  { name: "UserLevelConfigVariableEdge", description: "A config variable of a user with its cursor." },
);

builder.node(UserLevelConfig, {
  description: "What one user of a customer has configured for an instance.",
  authScopes: ({ instance, row }, context) => maySee(context, instance, row.userId),
  id: { resolve: ({ row }) => row.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadConfig(context, id),
  fields: (t) => ({
    instance: t.field({
      type: Instance,
      description: "The instance that it is for.",
      resolve: ({ instance }) => instance,
    }),
    user: t.field({
      type: User,
      description: "The user whose values they are.",
      resolve: ({ row }, _args, { store }) =>
        store.config.selectFrom("users").selectAll().where("id", "=", row.userId).executeTakeFirstOrThrow(),
    }),
    configVariables: t.connection(
      {
        type: UserLevelConfigVariable,
        description: "The config variables that each user sets, with this user's values.",
        args: statusFilters,
        resolve: async (item, args, context) =>
          pageOfList(withStatus(await loadVariables(context, item), args) as UserVariableItem[], args),
      },
      VariableConnection,
    ),
    createdAt: t.field({
      type: "DateTime",
      description: "When it was made.",
      resolve: ({ row }) => row.createdAtMs,
    }),
    updatedAt: t.field({
      type: "DateTime",
      description: "When it was last changed.",
      resolve: ({ row }) => row.updatedAtMs,
    }),
  }),
});

builder.objectFields(Instance, (t) => ({
  userLevelConfigs: t.connection(
    {
      type: UserLevelConfig,
      description: "What users of the customer have configured; a customer's user sees its own.",
      resolve: (instance, args, context) => {
        let query = context.store.config
          .selectFrom("userLevelConfigs")
          .selectAll()
          .where("instanceId", "=", instance.id);
        if (!isOrganization(context)) query = query.where("userId", "=", viewerUserId(context.viewer) ?? "");
        const order = { columns: ["id"], key: (row: UserLevelConfigRow) => [row.id] };
        return pageOfQuery(query, args, order, (row): UserConfigItem => ({ row, instance }));
      },
    },
    { name: "UserLevelConfigConnection", description: "A page of users' configurations." },
    { name: "UserLevelConfigEdge", description: "A user's configuration with its cursor." },
  ),
  userLevelConfigVariables: t.connection(
    {
      type: UserLevelConfigVariable,
      description: "The config variables that each user sets, with the values of the user who asks.",
      args: statusFilters,
      resolve: async (instance, args, context) => {
        const userId = viewerUserId(context.viewer);
        const row =
          userId === null
            ? undefined
            : await context.store.config
                .selectFrom("userLevelConfigs")
                .selectAll()
                .where("instanceId", "=", instance.id)
                .where("userId", "=", userId)
                .executeTakeFirst();
        const items = row === undefined ? [] : await loadVariables(context, { row, instance });
        return pageOfList(withStatus(items, args) as UserVariableItem[], args);
      },
    },
    VariableConnection,
  ),
}));

const inputsMax = 1_000;
const valuesCheck = z.array(z.unknown()).max(inputsMax, `At most ${inputsMax} at once.`).nullish();

mutation("createUserLevelConfig", {
  description: "Begins what a user of the customer configures for an instance.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({
    instance: t.id({ required: true, description: "The instance that it is for." }),
    user: t.id({ description: "The user of the customer; the one who asks where it is left out." }),
    configVariables: t.field({
      type: [ConfigVariableInput],
      required: { list: false, items: false },
      description: "Values of config variables that each user sets.",
    }),
  }),
  check: z.object({ configVariables: valuesCheck }),
  resolve: async (input, context) => {
    const { feed } = context;
    const instanceId = requiredId("Instance", input.instance, "instance");
    const userId = input.user == null ? viewerUserId(context.viewer) : requiredId("User", input.user, "user");
    if (userId === null) throw new InputError("user", "Say which user of the customer it is for.");
    const { userLevelConfig, version } = await feed.transact(async (transaction) => {
      const instance = await findInstance(transaction, instanceId);
      if (instance === undefined || !mayChange(context, instance, userId))
        throw notFound("instance", "instance");
      const user = await transaction
        .selectFrom("users")
        .select("customerId")
        .where("id", "=", userId)
        .executeTakeFirst();
      if (user?.customerId !== instance.customerId)
        throw new InputError("user", "This is no user of the instance's customer.");
      const known = await transaction
        .selectFrom("userLevelConfigs")
        .select("id")
        .where("instanceId", "=", instanceId)
        .where("userId", "=", userId)
        .executeTakeFirst();
      if (known !== undefined)
        throw new InputError(
          "user",
          "The user has a configuration for this instance already: change that one.",
        );
      const now = Date.now();
      const row: UserLevelConfigRow = {
        id: newId(),
        instanceId,
        userId,
        deployedSealedConfigVars: null,
        createdAtMs: now,
        updatedAtMs: now,
      };
      await transaction.insertInto("userLevelConfigs").values(row).execute();
      const version = await save(transaction, context, { row, instance }, input.configVariables ?? []);
      return { userLevelConfig: { row, instance }, version };
    });
    return { userLevelConfig, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    userLevelConfig: t.expose("userLevelConfig", {
      type: UserLevelConfig,
      nullable: true,
      description: "The new configuration.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not serve the change yet.",
    }),
  }),
});

mutation("updateUserLevelConfig", {
  description: "Sets config variables of a user. They count at once: nothing has to be deployed.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The id of the user's configuration." }),
    configVariables: t.field({
      type: [ConfigVariableInput],
      required: { list: false, items: false },
      description: "Values of config variables; those that are left out keep theirs.",
    }),
  }),
  check: z.object({ configVariables: valuesCheck }),
  resolve: async (input, context) => {
    const id = requiredId("UserLevelConfig", input.id, "id");
    const { userLevelConfig, version } = await context.feed.transact(async (transaction) => {
      const item = await requiredConfig(transaction, context, id);
      const version = await save(transaction, context, item, input.configVariables ?? []);
      return { userLevelConfig: item, version };
    });
    return { userLevelConfig, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    userLevelConfig: t.expose("userLevelConfig", {
      type: UserLevelConfig,
      nullable: true,
      description: "The configuration as it is now.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not serve the change yet.",
    }),
  }),
});

mutation("deleteUserLevelConfig", {
  description: "Forgets what a user has configured: the user's runs see the instance's values again.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({ id: t.id({ required: true, description: "The id of the user's configuration." }) }),
  resolve: async (input, context) => {
    const id = requiredId("UserLevelConfig", input.id, "id");
    const { userLevelConfig, version } = await context.feed.transact(async (transaction) => {
      const item = await requiredConfig(transaction, context, id);
      const { instanceId, userId } = item.row;
      await transaction
        .deleteFrom("instanceConfigVariables")
        .where("instanceId", "=", instanceId)
        .where("userId", "=", userId)
        .execute();
      await transaction.deleteFrom("userLevelConfigs").where("id", "=", id).execute();
      return { userLevelConfig: item, version: await touchInstance(transaction, instanceId) };
    });
    return { userLevelConfig, pendingDataPlanes: await waitForDataPlanes(context, version) };
  },
  output: (t) => ({
    userLevelConfig: t.expose("userLevelConfig", {
      type: UserLevelConfig,
      nullable: true,
      description: "What was forgotten.",
    }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that do not serve the change yet.",
    }),
  }),
});

mutation("disconnectUserLevelConnection", {
  description: "Takes the tokens away from a user's OAuth 2.0 connection. Its fields stay.",
  authScopes: { admin: true, customer: true },
  input: (t) => ({ id: t.id({ required: true, description: "The id of the user's config variable." }) }),
  resolve: async (input, context) => {
    const id = idFromNodeId("UserLevelConfigVariable", input.id) ?? "";
    const item = oauthConnection(context, await loadVariable(context, id));
    await replaceToken(context, item, null, pendingTokens(null));
    return { userLevelConfigVariable: await loadVariable(context, id) };
  },
  output: (t) => ({
    userLevelConfigVariable: t.expose("userLevelConfigVariable", {
      type: UserLevelConfigVariable,
      nullable: true,
      description: "The connection as it is now.",
    }),
  }),
});

/** Organization: all; a customer's user: its own. */
const maySee = (context: Context, instance: InstanceRow, userId: string): boolean =>
  isOrganization(context) ||
  (maySeeCustomer(context, instance.customerId) && viewerUserId(context.viewer) === userId);

const mayChange = (context: Context, instance: InstanceRow, userId: string): boolean =>
  context.viewer?.role === "ADMIN" || (customerScope(context) !== null && maySee(context, instance, userId));

/** Keeps the values, and hands them to the runs on what the instance has deployed. */
async function save(
  transaction: ConfigTransaction,
  { store }: Context,
  { row, instance }: UserConfigItem,
  inputs: Parameters<typeof saveConfigVariables>[4],
): Promise<number> {
  const configured = await configuredVersionOf(transaction, instance);
  if (configured === null) throw notFound("instance", "draft: import one first");
  const { instanceId, userId } = row;
  const owner = { instanceId, userId };
  await saveConfigVariables(transaction, store, owner, userVariables(configured.definition), inputs);
  const definition = await deployedDefinition(transaction, instance, configured);
  if (definition !== null) await deployUserConfig(transaction, store, row, definition);
  if (!(await areUserConfigsWithinBounds(transaction, instanceId))) {
    throw new InputError(
      wholeInput,
      `An instance keeps what ${userConfigsMax} users have configured, and ${userConfigCharactersMax} bytes of it in all.`,
    );
  }
  return touchInstance(transaction, instanceId);
}

/** What the instance runs on; null before its first deploy. */
async function deployedDefinition(
  transaction: ConfigTransaction,
  { isSystem, deployedVersionId }: InstanceRow,
  configured: ConfiguredVersion,
) {
  if (isSystem === 1) return configured.definition;
  if (deployedVersionId === null) return null;
  const { definitionDigest } = await transaction
    .selectFrom("versions")
    .select("definitionDigest")
    .where("id", "=", deployedVersionId)
    .executeTakeFirstOrThrow();
  return readDefinition(transaction, definitionDigest);
}

const findInstance = (database: ConfigTransaction, id: string): Promise<InstanceRow | undefined> =>
  database.selectFrom("instances").selectAll().where("id", "=", id).executeTakeFirst();

async function requiredConfig(
  transaction: ConfigTransaction,
  context: Context,
  id: string,
): Promise<UserConfigItem> {
  const row = await transaction
    .selectFrom("userLevelConfigs")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  const instance = row === undefined ? undefined : await findInstance(transaction, row.instanceId);
  if (row === undefined || instance === undefined || !mayChange(context, instance, row.userId))
    throw notFound("id", "configuration of a user");
  return { row, instance };
}

async function loadConfig(context: Context, id: string): Promise<UserConfigItem | null> {
  if (!isUuid(id)) return null;
  const { config } = context.store;
  const row = await config.selectFrom("userLevelConfigs").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) return null;
  const instance = await config
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", row.instanceId)
    .executeTakeFirst();
  return instance !== undefined && maySee(context, instance, row.userId) ? { row, instance } : null;
}

async function loadVariables(
  { store }: Context,
  { row, instance }: UserConfigItem,
): Promise<UserVariableItem[]> {
  const configured = await configuredVersionOf(store.config, instance);
  if (configured === null) return [];
  const owner = { instanceId: instance.id, userId: row.userId };
  const given = await readConfigVariables(store.config, store, owner);
  const shown = await shownConnectionInputs(store.config, configured);
  return userVariables(withReferences(configured.definition, given)).map((variable) => ({
    configId: row.id,
    instance,
    owner,
    configured,
    variable,
    given: given.get(variable.key),
    shownInputs: shown.get(variable.connectionKey ?? "") ?? new Set(),
  }));
}

/** The variables of one user's configuration. */
export async function loadUserVariables(context: Context, configId: string): Promise<ConfigVariableItem[]> {
  const item = await loadConfig(context, configId);
  return item === null ? [] : loadVariables(context, item);
}

async function loadVariable(context: Context, id: string): Promise<UserVariableItem | null> {
  const slash = id.indexOf("/");
  const item = slash < 0 ? null : await loadConfig(context, id.slice(0, slash));
  if (item === null) return null;
  return (
    (await loadVariables(context, item)).find(({ variable }) => variable.key === id.slice(slash + 1)) ?? null
  );
}
