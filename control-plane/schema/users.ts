/** Users of the organization and of its customers. */
import { z } from "zod";
import { isUuid, newId } from "../../shared/ids.ts";
import { type Context, maySeeCustomer } from "../context.ts";
import { customerRoles, organizationRoles, type Role, roleOf } from "../roles.ts";
import { touchCustomer } from "../store/feedVersions.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { contains, pageOfQuery } from "./connections.ts";
import { loadCustomers } from "./customers.ts";
import { inputId, isUniqueViolation, nameCheck, notFound, requiredId } from "./inputs.ts";
import { InputError, mutation } from "./payloads.ts";
import { Customer, User, type UserRow } from "./refs.ts";

export const RoleType = builder.objectRef<Role>("Role").implement({
  description: "What a user may do.",
  fields: (t) => ({
    id: t.id({
      description: "The global id of the object.",
      resolve: (role) => roleNodeId(role),
    }),
    name: t.exposeString("name", { description: "The role's name." }),
    description: t.exposeString("description", { description: "What users with this role may do." }),
  }),
});

export async function loadUsers(ids: string[], { store }: Context): Promise<(UserRow | null)[]> {
  const rows = await store.config.selectFrom("users").selectAll().where("id", "in", ids).execute();
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byId.get(id) ?? null);
}

builder.node(User, {
  description: "A user of the organization, or of a customer.",
  authScopes: (user, context) => maySeeCustomer(context, user.customerId),
  id: { resolve: (user) => user.id },
  loadOne: (id, context) => visibleUser(context, id),
  fields: (t) => ({
    name: t.exposeString("name", { description: "The user's name." }),
    email: t.exposeString("email", { description: "The user's email address; unique." }),
    externalId: t.exposeString("externalId", {
      nullable: true,
      description: "The user's id in your own systems; unique among the customer's users.",
    }),
    phone: t.exposeString("phone", { description: "The user's telephone number." }),
    role: t.field({
      type: RoleType,
      description: "What the user may do.",
      resolve: (user) => roleOf(user),
    }),
    customer: t.loadable({
      type: Customer,
      nullable: true,
      description: "The customer that the user belongs to; null for users of the organization.",
      load: loadCustomers,
      resolve: (user) => user.customerId,
    }),
    createdAt: t.field({
      type: "DateTime",
      description: "When the user was made.",
      resolve: (user) => user.createdAtMs,
    }),
  }),
});

export const UserConnection = builder.connectionObject(
  { type: User, name: "UserConnection", description: "A page of users." },
  { name: "UserEdge", description: "A user with its cursor." },
);

builder.objectField(Customer, "users", (t) =>
  t.connection(
    {
      type: User,
      description: "The customer's users, by email address.",
      args: { email_Icontains: t.arg.string({ description: "Only those with this text in their address." }) },
      resolve: (customer, args, { store }) => {
        let query = store.config.selectFrom("users").selectAll().where("customerId", "=", customer.id);
        if (args.email_Icontains) query = query.where(contains("email", args.email_Icontains));
        return pageOfQuery(query, args, { columns: ["email"], key: (row) => [row.email] });
      },
    },
    UserConnection,
  ),
);

builder.queryFields((t) => ({
  user: t.field({
    type: User,
    nullable: true,
    description: "One user.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The user's id." }) },
    resolve: (_root, args, context) => {
      const id = inputId("User", args.id);
      return id === null ? null : visibleUser(context, id);
    },
  }),
  organizationRoles: t.field({
    type: [RoleType],
    description: "The roles that users of the organization can have.",
    authScopes: { organization: true },
    resolve: () => [...organizationRoles],
  }),
  customerRoles: t.field({
    type: [RoleType],
    description: "The roles that a customer's users can have.",
    authScopes: { signedIn: true },
    resolve: () => [...customerRoles],
  }),
}));

const userCheck = z.object({
  name: nameCheck.nullish(),
  email: z.email("This is not an email address.").max(320, "At most 320 characters.").nullish(),
  externalId: z.string().max(200, "At most 200 characters.").nullish(),
  phone: z.string().max(50, "At most 50 characters.").nullish(),
});

mutation("createCustomerUser", {
  description: "Makes a user of a customer.",
  authScopes: { admin: true },
  input: (t) => ({
    name: t.string({ description: "The user's name." }),
    email: t.string({ required: true, description: "The user's email address; unique." }),
    externalId: t.string({ description: "The user's id in your own systems." }),
    phone: t.string({ description: "The user's telephone number." }),
    role: t.id({ required: true, description: "One of customerRoles." }),
    customer: t.id({ required: true, description: "The customer that the user belongs to." }),
  }),
  check: userCheck,
  resolve: async (input, context) => {
    const customerId = requiredId("Customer", input.customer, "customer");
    const user = newUser(input, customerId);
    const version = await context.feed.transact(async (transaction) => {
      const customer = await transaction
        .selectFrom("customers")
        .select("id")
        .where("id", "=", customerId)
        .executeTakeFirst();
      if (customer === undefined) throw notFound("customer", "customer");
      await takenAsFieldError(transaction.insertInto("users").values(user).execute());
      return touchCustomer(transaction, customerId);
    });
    return { user, pendingDataPlanes: await waitForDataPlanes(context, version ?? 0) };
  },
  output: (t) => ({
    user: t.expose("user", { type: User, nullable: true, description: "The new user." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that still go by what was before.",
    }),
  }),
});

mutation("createOrganizationUser", {
  description: "Makes a user of the organization.",
  authScopes: { admin: true },
  input: (t) => ({
    name: t.string({ description: "The user's name." }),
    email: t.string({ required: true, description: "The user's email address; unique." }),
    externalId: t.string({ description: "The user's id in your own systems." }),
    phone: t.string({ description: "The user's telephone number." }),
    role: t.id({ required: true, description: "One of organizationRoles." }),
  }),
  check: userCheck,
  resolve: async (input, { feed }) => {
    const user = newUser(input, null);
    await feed.transact((transaction) =>
      takenAsFieldError(transaction.insertInto("users").values(user).execute()),
    );
    return { user };
  },
  output: (t) => ({
    user: t.expose("user", { type: User, nullable: true, description: "The new user." }),
  }),
});

mutation("updateUser", {
  description: "Changes a user; what is left out stays as it is.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The user's id." }),
    name: t.string({ description: "The new name." }),
    phone: t.string({ description: "The new telephone number." }),
    externalId: t.string({ description: 'The new external id; "" takes it away.' }),
    role: t.id({
      description:
        "The new role: one of organizationRoles or customerRoles. It holds from the next request on.",
    }),
    darkMode: t.boolean({ description: "Accepted for the sake of clients; not kept." }),
    darkModeSyncWithOs: t.boolean({ description: "Accepted for the sake of clients; not kept." }),
  }),
  check: userCheck,
  resolve: async (input, context) => {
    const id = requiredId("User", input.id, "id");
    const { user, version } = await context.feed.transact(async (transaction) => {
      const user = await transaction
        .selectFrom("users")
        .select("customerId")
        .where("id", "=", id)
        .executeTakeFirst();
      if (user === undefined) throw notFound("id", "user");
      const changes: Partial<UserRow> = { id };
      if (input.role != null) changes.role = roleInput(input.role, user.customerId);
      if (input.name != null) changes.name = input.name.trim();
      if (input.phone != null) changes.phone = input.phone;
      if (input.externalId != null) changes.externalId = input.externalId || null;
      const updated = await takenAsFieldError(
        transaction
          .updateTable("users")
          .set(changes)
          .where("id", "=", id)
          .returningAll()
          .executeTakeFirstOrThrow(),
      );
      const version = updated.customerId === null ? 0 : await touchCustomer(transaction, updated.customerId);
      return { user: updated, version };
    });
    return { user, pendingDataPlanes: await waitForDataPlanes(context, version ?? 0) };
  },
  output: (t) => ({
    user: t.expose("user", { type: User, nullable: true, description: "The user." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that still go by what was before.",
    }),
  }),
});

mutation("deleteUser", {
  description: "Deletes a user; the user's tokens are no longer valid.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The user's id." }) }),
  resolve: async (input, context) => {
    const id = requiredId("User", input.id, "id");
    const { user, version } = await context.feed.transact(async (transaction) => {
      const deleted = await transaction
        .deleteFrom("users")
        .where("id", "=", id)
        .returningAll()
        .executeTakeFirst();
      if (deleted === undefined) throw notFound("id", "user");
      const version = deleted.customerId === null ? 0 : await touchCustomer(transaction, deleted.customerId);
      return { user: deleted, version };
    });
    return { user, pendingDataPlanes: await waitForDataPlanes(context, version ?? 0) };
  },
  output: (t) => ({
    user: t.expose("user", { type: User, nullable: true, description: "The user that was deleted." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that still go by what was before.",
    }),
  }),
});

interface NewUserInput {
  name?: string | null | undefined;
  email: string;
  externalId?: string | null | undefined;
  phone?: string | null | undefined;
  role: string;
}

function newUser(input: NewUserInput, customerId: string | null): UserRow {
  return {
    id: newId(),
    customerId,
    email: input.email.trim().toLowerCase(),
    name: input.name?.trim() ?? "",
    externalId: input.externalId || null,
    phone: input.phone ?? "",
    role: roleInput(input.role, customerId),
    createdAtMs: Date.now(),
  };
}

/** The role that an input names by its node id or its plain one, of those that such a user can have. */
function roleInput(given: string, customerId: string | null): string {
  const roles = customerId === null ? organizationRoles : customerRoles;
  const role = roles.find((candidate) => roleNodeId(candidate) === given || candidate.id === given);
  if (role !== undefined) return role.id;
  throw new InputError(
    "role",
    `This is not a role of ${customerId === null ? "the organization" : "a customer"}.`,
  );
}

async function visibleUser(context: Context, id: string): Promise<UserRow | null> {
  if (!isUuid(id)) return null;
  const user = await context.store.config
    .selectFrom("users")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return user !== undefined && maySeeCustomer(context, user.customerId) ? user : null;
}

const roleNodeId = (role: Role): string => Buffer.from(`UserRole:${role.id}`, "utf8").toString("base64");

async function takenAsFieldError<Result>(write: Promise<Result>): Promise<Result> {
  try {
    return await write;
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw /externalId/.test((error as Error).message)
      ? new InputError("externalId", "A user of this customer with this external id already exists.")
      : new InputError("email", "A user with this email address already exists.");
  }
}
