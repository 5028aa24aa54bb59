/** Customers: whom an integration is deployed to. */
import { z } from "zod";
import { isUuid, newId } from "../../shared/ids.ts";
import { type Context, customerScope, maySeeCustomer } from "../context.ts";
import { touchCustomer } from "../store/feedVersions.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { builder } from "./builder.ts";
import { contains, pageOfQuery } from "./connections.ts";
import {
  inputId,
  isUniqueViolation,
  labelsCheck,
  labelsJson,
  nameCheck,
  notFound,
  requiredId,
  textCheck,
} from "./inputs.ts";
import { InputError, mutation, wholeInput } from "./payloads.ts";
import { Customer, type CustomerRow } from "./refs.ts";
import { SortDirection } from "./scalars.ts";

export const customerById = async (id: string, { store }: Context): Promise<CustomerRow | undefined> =>
  store.config.selectFrom("customers").selectAll().where("id", "=", id).executeTakeFirst();

/** For `t.loadable`: the customers in the order of the ids; null for one that is gone. */
export async function loadCustomers(ids: string[], { store }: Context): Promise<(CustomerRow | null)[]> {
  const rows = await store.config.selectFrom("customers").selectAll().where("id", "in", ids).execute();
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byId.get(id) ?? null);
}

builder.node(Customer, {
  description: "A customer of the organization.",
  authScopes: (customer, context) => maySeeCustomer(context, customer.id),
  id: { resolve: (customer) => customer.id },
  loadOne: async (id, context) =>
    isUuid(id) && maySeeCustomer(context, id) ? await customerById(id, context) : null,
  fields: (t) => ({
    name: t.exposeString("name", { description: "The customer's name." }),
    description: t.exposeString("description", {
      description: "What the customer is, in a sentence or two.",
    }),
    externalId: t.exposeString("externalId", {
      nullable: true,
      description: "The customer's id in your own systems; unique.",
    }),
    labels: t.stringList({
      description: "Labels to find the customer by.",
      resolve: (customer) => JSON.parse(customer.labelsJson) as string[],
    }),
    isSystem: t.boolean({
      description: "Whether this is the test customer, for which drafts are run.",
      resolve: (customer) => customer.isSystem === 1,
    }),
    createdAt: t.field({
      type: "DateTime",
      description: "When the customer was made.",
      resolve: (customer) => customer.createdAtMs,
    }),
    updatedAt: t.field({
      type: "DateTime",
      description: "When the customer was last changed.",
      resolve: (customer) => customer.updatedAtMs,
    }),
  }),
});

export const CustomerConnection = builder.connectionObject(
  { type: Customer, name: "CustomerConnection", description: "A page of customers." },
  { name: "CustomerEdge", description: "A customer with its cursor." },
);

const CustomerOrder = builder.inputType("CustomerOrder", {
  description: "The order of customers.",
  fields: (t) => ({
    field: t.field({
      type: builder.enumType("CustomerOrderField", {
        description: "What customers can be ordered by.",
        values: {
          NAME: { value: "name", description: "Their name." },
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

builder.queryFields((t) => ({
  customer: t.field({
    type: Customer,
    nullable: true,
    description: "One customer.",
    authScopes: { signedIn: true },
    args: { id: t.arg.id({ required: true, description: "The customer's id." }) },
    resolve: async (_root, args, context) => {
      const id = inputId("Customer", args.id);
      return id !== null && maySeeCustomer(context, id) ? await customerById(id, context) : null;
    },
  }),
  customers: t.connection(
    {
      type: Customer,
      description: "The customers, by name.",
      authScopes: { signedIn: true },
      args: {
        isSystem: t.arg.boolean({ description: "Only the test customer (true), or all others (false)." }),
        name_Icontains: t.arg.string({ description: "Only those with this text in their name." }),
        description_Icontains: t.arg.string({
          description: "Only those with this text in their description.",
        }),
        externalId: t.arg.string({ description: "Only the one with this external id." }),
        externalId_Icontains: t.arg.string({
          description: "Only those with this text in their external id.",
        }),
        labels_Contains: t.arg.string({ description: "Only those with this label." }),
        orderBy: t.arg({ type: CustomerOrder, description: "The order; by name where it is left out." }),
        sortBy: t.arg({
          type: [CustomerOrder],
          required: { list: false, items: true },
          description: "The same as a list, of which the first counts.",
        }),
      },
      resolve: (_root, args, context) => {
        let query = context.store.config.selectFrom("customers").selectAll();
        const only = customerScope(context);
        if (only !== null) query = query.where("id", "=", only);
        if (args.isSystem != null) query = query.where("isSystem", "=", args.isSystem ? 1 : 0);
        if (args.name_Icontains) query = query.where(contains("name", args.name_Icontains));
        if (args.description_Icontains)
          query = query.where(contains("description", args.description_Icontains));
        if (args.externalId != null) query = query.where("externalId", "=", args.externalId);
        if (args.externalId_Icontains) query = query.where(contains("externalId", args.externalId_Icontains));
        if (args.labels_Contains)
          query = query.where(contains("labelsJson", JSON.stringify(args.labels_Contains)));
        const { field, direction } = args.orderBy ?? args.sortBy?.[0] ?? byName;
        return pageOfQuery(query, args, {
          columns: [field, "id"],
          key: (row) => [row[field], row.id],
          direction,
        });
      },
    },
    CustomerConnection,
  ),
}));

const byName = { field: "name", direction: "asc" } as const;

const externalIdCheck = z
  .string()
  .max(200, "At most 200 characters.")
  .refine((text) => text === text.trim(), "It may not begin or end with a space.");

const customerCheck = z.object({
  name: nameCheck.nullish(),
  description: textCheck.nullish(),
  externalId: externalIdCheck.nullish(),
  labels: labelsCheck.nullish(),
});

mutation("createCustomer", {
  description: "Makes a customer.",
  authScopes: { admin: true },
  input: (t) => ({
    name: t.string({ required: true, description: "The customer's name." }),
    description: t.string({ description: "What the customer is." }),
    externalId: t.string({ description: "The customer's id in your own systems; unique." }),
    labels: t.stringList({
      required: { list: false, items: false },
      description: "Labels to find the customer by.",
    }),
  }),
  check: customerCheck,
  resolve: async (input, { feed }) => {
    const now = Date.now();
    const customer: CustomerRow = {
      id: newId(),
      externalId: input.externalId || null,
      name: input.name.trim(),
      description: input.description ?? "",
      labelsJson: labelsJson(input.labels ?? []),
      isSystem: 0,
      createdAtMs: now,
      updatedAtMs: now,
    };
    await feed.transact(async (transaction) => {
      await takenAsFieldError(transaction.insertInto("customers").values(customer).execute());
    });
    return { customer };
  },
  output: (t) => ({
    customer: t.expose("customer", { type: Customer, nullable: true, description: "The new customer." }),
  }),
});

mutation("updateCustomer", {
  description: "Changes a customer; what is left out stays as it is.",
  authScopes: { admin: true },
  input: (t) => ({
    id: t.id({ required: true, description: "The customer's id." }),
    name: t.string({ description: "The new name." }),
    description: t.string({ description: "The new description." }),
    externalId: t.string({ description: 'The new external id; "" takes it away.' }),
    labels: t.stringList({ required: { list: false, items: false }, description: "The new labels." }),
  }),
  check: customerCheck,
  resolve: async (input, context) => {
    const id = requiredId("Customer", input.id, "id");
    const version = await context.feed.transact(async (transaction) => {
      const changes: Partial<CustomerRow> = { updatedAtMs: Date.now() };
      if (input.name != null) changes.name = input.name.trim();
      if (input.description != null) changes.description = input.description;
      if (input.externalId != null) changes.externalId = input.externalId || null;
      if (input.labels != null) changes.labelsJson = labelsJson(input.labels);
      const updated = await takenAsFieldError(
        transaction
          .updateTable("customers")
          .set(changes)
          .where("id", "=", id)
          .where("isSystem", "=", 0)
          .executeTakeFirst(),
      );
      if (updated.numUpdatedRows === 0n) throw notFound("id", "customer");
      return touchCustomer(transaction, id);
    });
    return {
      customer: await customerById(id, context),
      pendingDataPlanes: await waitForDataPlanes(context, version ?? 0),
    };
  },
  output: (t) => ({
    customer: t.expose("customer", { type: Customer, nullable: true, description: "The customer." }),
    pendingDataPlanes: t.exposeStringList("pendingDataPlanes", {
      nullable: true,
      description: "The data planes that still route by what was before.",
    }),
  }),
});

mutation("deleteCustomer", {
  description: "Deletes a customer with its users; refused while it has instances.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The customer's id." }) }),
  resolve: async (input, { feed }) => {
    const id = requiredId("Customer", input.id, "id");
    const customer = await feed.transact(async (transaction) => {
      const row = await transaction
        .selectFrom("customers")
        .selectAll()
        .where("id", "=", id)
        .executeTakeFirst();
      if (row === undefined) throw notFound("id", "customer");
      if (row.isSystem === 1) throw new InputError("id", "The test customer can't be deleted.");
      const instances = await transaction
        .selectFrom("instances")
        .select("name")
        .where("customerId", "=", id)
        .orderBy("name")
        .execute();
      if (instances.length > 0) {
        const names = instances.slice(0, 10).map((instance) => `"${instance.name}"`);
        throw new InputError(
          wholeInput,
          `The customer still has ${instances.length} ${instances.length === 1 ? "instance" : "instances"} (${names.join(", ")}). Delete them first.`,
        );
      }
      await transaction
        .updateTable("integrations")
        .set({ customerId: null })
        .where("customerId", "=", id)
        .execute();
      await transaction
        .updateTable("components")
        .set({ customerId: null })
        .where("customerId", "=", id)
        .execute();
      await transaction.deleteFrom("customers").where("id", "=", id).execute();
      return row;
    });
    return { customer };
  },
  output: (t) => ({
    customer: t.expose("customer", {
      type: Customer,
      nullable: true,
      description: "The customer that was deleted.",
    }),
  }),
});

async function takenAsFieldError<Result>(write: Promise<Result>): Promise<Result> {
  try {
    return await write;
  } catch (error) {
    if (isUniqueViolation(error)) {
      throw new InputError("externalId", "A customer with this external id already exists.");
    }
    throw error;
  }
}
