/** What runs came to: by day for each instance and for the organization, and what each customer has deployed. */
import { sql } from "kysely";
import { type Context, customerScope } from "../context.ts";
import { exclusively } from "../store/reportIngestion.ts";
import { builder } from "./builder.ts";
import { pageOfList, pageOfQuery } from "./connections.ts";
import { inputId } from "./inputs.ts";
import { loadInstance } from "./instances.ts";
import { Customer, Instance } from "./refs.ts";
import { SortDirection } from "./scalars.ts";

interface DailyUsage {
  id: string;
  day: string;
  instanceId: string;
  succeeded: number;
  failed: number;
  steps: number;
  runMs: number;
}

interface TotalUsage {
  id: string;
  atMs: number;
  customerId: string;
  instances: number;
  integrations: number;
}

const items = { list: false, items: true } as const;

const orderOf = <Field extends string>(name: string, field: Field, description: string) => {
  const OrderField = builder.enumType(`${name}OrderField`, {
    description: "What they can be ordered by.",
    values: { [field]: { description } } as Record<Field, { description: string }>,
  });
  return builder.inputType(`${name}Order`, {
    description: "An order.",
    fields: (t) => ({
      field: t.field({ type: OrderField, required: true, description: "What to order by." }),
      direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
    }),
  });
};

const InstanceOrder = orderOf("InstanceDailyUsageMetrics", "SNAPSHOT_DATE", "The day.");
const OrgOrder = orderOf("OrgDailyUsageMetrics", "SNAPSHOT_DATE", "The day.");
const TotalOrder = orderOf("CustomerTotalUsageMetrics", "SNAPSHOT_TIME", "The moment.");

const dailyFields = {
  snapshotDate: "The day, in UTC.",
  succeeded: "Executions that ended well on that day.",
  failed: "Executions that failed on that day.",
  steps: "Steps that were run.",
  spend: "What its runs could have held of memory in megabytes, times their seconds.",
} as const;

const InstanceDailyUsage = builder.objectRef<DailyUsage>("InstanceDailyUsageMetrics").implement({
  description: "What the runs of an instance came to on a day.",
  fields: (t) => ({
    id: t.exposeID("id", { description: "The day and the instance." }),
    snapshotDate: t.field({ type: "Date", description: dailyFields.snapshotDate, resolve: ({ day }) => day }),
    successfulExecutionCount: t.exposeInt("succeeded", { description: dailyFields.succeeded }),
    failedExecutionCount: t.exposeInt("failed", { description: dailyFields.failed }),
    stepCount: t.exposeInt("steps", { description: dailyFields.steps }),
    spendMbSecs: t.float({ description: dailyFields.spend, resolve: spendOf }),
    instance: t.field({
      type: Instance,
      nullable: true,
      description: "The instance; null where it is gone.",
      resolve: ({ instanceId }, _args, context) => loadInstance(context, instanceId),
    }),
  }),
});

const OrgDailyUsage = builder.objectRef<Omit<DailyUsage, "instanceId">>("OrgDailyUsageMetrics").implement({
  description: "What the runs of all instances came to on a day.",
  fields: (t) => ({
    id: t.exposeID("id", { description: "The day." }),
    snapshotDate: t.field({ type: "Date", description: dailyFields.snapshotDate, resolve: ({ day }) => day }),
    successfulExecutionCount: t.exposeInt("succeeded", { description: dailyFields.succeeded }),
    failedExecutionCount: t.exposeInt("failed", { description: dailyFields.failed }),
    stepCount: t.exposeInt("steps", { description: dailyFields.steps }),
    spendMbSecs: t.float({ description: dailyFields.spend, resolve: spendOf }),
  }),
});

const CustomerTotalUsage = builder.objectRef<TotalUsage>("CustomerTotalUsageMetrics").implement({
  description: "What a customer has deployed, at a moment.",
  fields: (t) => ({
    id: t.exposeID("id", { description: "The customer and the moment." }),
    snapshotTime: t.field({ type: "DateTime", description: "The moment.", resolve: ({ atMs }) => atMs }),
    deployedInstanceCount: t.exposeInt("instances", { description: "Instances that were deployed." }),
    deployedUniqueIntegrationCount: t.exposeInt("integrations", {
      description: "Integrations that they were of.",
    }),
    customer: t.field({
      type: Customer,
      nullable: true,
      description: "The customer; null where it is gone.",
      resolve: async ({ customerId }, _args, { store }) =>
        (await store.config
          .selectFrom("customers")
          .selectAll()
          .where("id", "=", customerId)
          .executeTakeFirst()) ?? null,
    }),
  }),
});

const dayFilters = builder.args((t) => ({
  snapshotDate: t.field({ type: "Date", description: "Only this day." }),
  snapshotDate_Gte: t.field({ type: "Date", description: "Only this day and later ones." }),
  snapshotDate_Lte: t.field({ type: "Date", description: "Only this day and earlier ones." }),
}));

builder.queryFields((t) => ({
  instanceDailyUsageMetrics: t.connection(
    {
      type: InstanceDailyUsage,
      description: "What the runs of instances came to, day by day; days without any are not there.",
      authScopes: { signedIn: true },
      args: {
        ...dayFilters,
        instance: t.arg.id({ description: "Only this instance's." }),
        instance_Customer: t.arg.id({ description: "Only this customer's." }),
        orderBy: t.arg({ type: InstanceOrder, description: "The order; by day where it is left out." }),
        sortBy: t.arg({
          type: [InstanceOrder],
          required: items,
          description: "The same as a list, of which the first counts.",
        }),
      },
      resolve: async (_root, args, context) => {
        const { store } = context;
        await exclusively(store, (writer) => writer.usage.flush());
        let query = store.executions
          .selectFrom("usageDays")
          .select(["day", "instanceId", "succeeded", "failed", "steps", "runMs"])
          .select(sql<string>`day || ' ' || instanceId`.as("id"));
        const customers = [args.instance_Customer, customerScope(context)];
        if (args.instance != null)
          query = query.where("instanceId", "=", inputId("Instance", args.instance) ?? "");
        if (customers[0] != null)
          query = query.where("customerId", "=", inputId("Customer", customers[0]) ?? "");
        if (customers[1] != null) query = query.where("customerId", "=", customers[1]);
        if (args.snapshotDate != null) query = query.where("day", "=", args.snapshotDate);
        if (args.snapshotDate_Gte != null) query = query.where("day", ">=", args.snapshotDate_Gte);
        if (args.snapshotDate_Lte != null) query = query.where("day", "<=", args.snapshotDate_Lte);
        return pageOfQuery(query, args, {
          columns: ["usageDays.day", "usageDays.instanceId"],
          key: (row) => [row.day, row.instanceId],
          direction: (args.orderBy ?? args.sortBy?.[0])?.direction ?? "asc",
        });
      },
    },
    { name: "InstanceDailyUsageMetricsConnection", description: "A page of instances' days." },
    { name: "InstanceDailyUsageMetricsEdge", description: "A day with its cursor." },
  ),
  orgDailyUsageMetrics: t.connection(
    {
      type: OrgDailyUsage,
      description: "What all runs came to, day by day; days without any are not there.",
      authScopes: { organization: true },
      args: {
        ...dayFilters,
        orderBy: t.arg({ type: OrgOrder, description: "The order; by day where it is left out." }),
        sortBy: t.arg({
          type: [OrgOrder],
          required: items,
          description: "The same as a list, of which the first counts.",
        }),
      },
      resolve: async (_root, args, { store }) => {
        await exclusively(store, (writer) => writer.usage.flush());
        let query = store.executions
          .selectFrom("usageDays")
          .select((row) => [
            "day",
            "day as id",
            row.fn.sum<number>("succeeded").as("succeeded"),
            row.fn.sum<number>("failed").as("failed"),
            row.fn.sum<number>("steps").as("steps"),
            row.fn.sum<number>("runMs").as("runMs"),
          ])
          .groupBy("day")
          .orderBy("day", (args.orderBy ?? args.sortBy?.[0])?.direction ?? "asc")
          .limit(daysMax);
        if (args.snapshotDate != null) query = query.where("day", "=", args.snapshotDate);
        if (args.snapshotDate_Gte != null) query = query.where("day", ">=", args.snapshotDate_Gte);
        if (args.snapshotDate_Lte != null) query = query.where("day", "<=", args.snapshotDate_Lte);
        return pageOfList(await query.execute(), args);
      },
    },
    { name: "OrgDailyUsageMetricsConnection", description: "A page of days." },
    { name: "OrgDailyUsageMetricsEdge", description: "A day with its cursor." },
  ),
  customerTotalUsageMetrics: t.connection(
    {
      type: CustomerTotalUsage,
      description:
        "What customers have deployed. There is the present moment only: no history of it is kept.",
      authScopes: { signedIn: true },
      args: {
        customer: t.arg.id({ description: "Only this customer's." }),
        snapshotTime_Gte: t.arg({ type: "DateTime", description: "Only then or later." }),
        snapshotTime_Lte: t.arg({ type: "DateTime", description: "Only then or earlier." }),
        orderBy: t.arg({ type: TotalOrder, description: "The order; by time where it is left out." }),
        sortBy: t.arg({
          type: [TotalOrder],
          required: items,
          description: "The same as a list, of which the first counts.",
        }),
      },
      resolve: async (_root, args, context) => {
        const nowMs = Date.now();
        const isMeant =
          (args.snapshotTime_Gte == null || args.snapshotTime_Gte.getTime() <= nowMs) &&
          (args.snapshotTime_Lte == null || args.snapshotTime_Lte.getTime() >= nowMs - aDayMs);
        return pageOfList(isMeant ? await totals(context, args.customer, nowMs) : [], args);
      },
    },
    { name: "CustomerTotalUsageMetricsConnection", description: "A page of what customers have deployed." },
    { name: "CustomerTotalUsageMetricsEdge", description: "What a customer has deployed, with its cursor." },
  ),
}));

/** Ten years. */
const daysMax = 3_660;
/** Scripts ask up to a day's beginning, and mean that day. */
const aDayMs = 24 * 3_600_000;
const msPerSecond = 1_000;

const spendOf = ({ runMs }: { runMs: number }, _args: unknown, { config }: Context): number =>
  (runMs / msPerSecond) * config.runMemoryMb;

async function totals(
  context: Context,
  customer: string | null | undefined,
  atMs: number,
): Promise<TotalUsage[]> {
  const only = customerScope(context);
  let query = context.store.config
    .selectFrom("instances")
    .select((row) => [
      "customerId",
      row.fn.countAll<number>().as("instances"),
      row.fn.count<number>("integrationId").distinct().as("integrations"),
    ])
    .where("isSystem", "=", 0)
    .where("deployedVersionId", "is not", null)
    .groupBy("customerId");
  if (customer != null) query = query.where("customerId", "=", inputId("Customer", customer) ?? "");
  if (only !== null) query = query.where("customerId", "=", only);
  const rows = await query.execute();
  // To the hour, so that who asks again finds the same moment.
  const hourMs = 3_600_000;
  const snapshotMs = atMs - (atMs % hourMs);
  return rows.map((row) => ({ ...row, atMs: snapshotMs, id: `${row.customerId} ${snapshotMs}` }));
}
