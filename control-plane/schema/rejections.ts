/** Rejections: requests that were refused before they became executions. For the organization only. */
import { isUuid } from "../../shared/ids.ts";
import { type Context, isOrganization } from "../context.ts";
import { shownRequest, signedAddress } from "../results.ts";
import type { ExecutionDatabase } from "../store/store.ts";
import { readRejectionRequest } from "../store/storedObjects.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { loadCustomers } from "./customers.ts";
import { loadExecution } from "./executions.ts";
import { inputId } from "./inputs.ts";
import { Execution, Rejection, type RejectionItem } from "./instanceRefs.ts";
import { loadInstance } from "./instances.ts";
import { Customer, Instance, Integration } from "./refs.ts";
import { SortDirection } from "./scalars.ts";

/** A request can be sent again where it met a paused instance, or could not be routed. */
const replayableStatuses = [409, 422];

export const isReplayable = ({ status, hasRequest }: RejectionItem): boolean =>
  hasRequest === 1 && replayableStatuses.includes(status);

const rejectionsOf = (database: ExecutionDatabase) =>
  database
    .selectFrom("rejections")
    .select([
      "id",
      "atMs",
      "code",
      "status",
      "reason",
      "requestId",
      "integrationId",
      "instanceId",
      "customerId",
      "method",
      "remoteAddress",
      "count",
      "replayedByExecutionId",
      "bytes",
    ])
    .select((row) => row.case().when("requestJson", "is", null).then(0).else(1).end().as("hasRequest"));

export async function loadRejection(context: Context, id: string): Promise<RejectionItem | null> {
  if (!isUuid(id) || !isOrganization(context)) return null;
  return (await rejectionsOf(context.store.executions).where("id", "=", id).executeTakeFirst()) ?? null;
}

builder.node(Rejection, {
  description: "A request that was refused before it became an execution.",
  authScopes: { organization: true },
  id: { resolve: (rejection) => rejection.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadRejection(context, id),
  fields: (t) => ({
    at: t.field({ type: "DateTime", description: "When it was refused.", resolve: ({ atMs }) => atMs }),
    code: t.exposeString("code", { description: "The code that the sender was answered with." }),
    status: t.exposeInt("status", { description: "The HTTP status that the sender was answered with." }),
    reason: t.exposeString("reason", {
      description: "Why it was refused: what was looked for, and what was there to find.",
    }),
    requestId: t.exposeString("requestId", { description: "The request id that the sender was given." }),
    method: t.exposeString("method", { description: "The HTTP method." }),
    remoteAddress: t.exposeString("remoteAddress", { description: "The sender's address." }),
    count: t.exposeInt("count", { description: "How many refusals of the same kind this one stands for." }),
    isReplayable: t.boolean({
      description: "Whether the request was kept, and can be sent the whole way again.",
      resolve: isReplayable,
    }),
    instance: t.field({
      type: Instance,
      nullable: true,
      description: "The instance it was for, where that was known and is still there.",
      resolve: ({ instanceId }, _args, context) =>
        instanceId === null ? null : loadInstance(context, instanceId),
    }),
    integration: t.field({
      type: Integration,
      nullable: true,
      description: "The integration it was for, where that was known and is still there.",
      resolve: async ({ integrationId }, _args, { store }) => {
        if (integrationId === null) return null;
        const integration = await store.config
          .selectFrom("integrations")
          .selectAll()
          .where("id", "=", integrationId)
          .executeTakeFirst();
        return integration === undefined ? null : { integration, version: null };
      },
    }),
    customer: t.loadable({
      type: Customer,
      nullable: true,
      description: "The customer it was for, where that was known and is still there.",
      load: loadCustomers,
      resolve: ({ customerId }) => customerId,
    }),
    replayedBy: t.field({
      type: Execution,
      nullable: true,
      description: "The execution that its newest replay made.",
      resolve: ({ replayedByExecutionId }, _args, context) =>
        replayedByExecutionId === null ? null : loadExecution(context, replayedByExecutionId),
    }),
    requestPayloadUrl: t.string({
      nullable: true,
      description:
        "Where the kept request can be read as JSON, without its secrets, for the next ten minutes.",
      resolve: ({ id, hasRequest }, _args, { store, urls }) =>
        hasRequest === 1 ? signedAddress(store, urls, { kind: "rejectionRequest", rejectionId: id }) : null,
    }),
    requestPayload: t.field({
      type: "JSON",
      nullable: true,
      description: "The kept request without its secrets; its body in base64.",
      complexity: 50,
      resolve: async ({ id }, _args, { store }) => {
        const request = await readRejectionRequest(store, id);
        return request === null ? null : shownRequest(request);
      },
    }),
  }),
});

const RejectionConnection = builder.connectionObject(
  { type: Rejection, name: "RejectionConnection", description: "A page of rejections." },
  { name: "RejectionEdge", description: "A rejection with its cursor." },
);

const RejectionOrderField = builder.enumType("RejectionOrderField", {
  description: "What rejections can be ordered by.",
  values: { AT: { description: "When they were refused." } } as const,
});

const RejectionOrder = builder.inputType("RejectionOrder", {
  description: "The order of rejections.",
  fields: (t) => ({
    field: t.field({ type: RejectionOrderField, required: true, description: "What to order by." }),
    direction: t.field({ type: SortDirection, required: true, description: "Which end comes first." }),
  }),
});

builder.queryFields((t) => ({
  rejection: t.field({
    type: Rejection,
    nullable: true,
    description: "One rejection.",
    authScopes: { organization: true },
    args: { id: t.arg.id({ required: true, description: "The rejection's id." }) },
    resolve: (_root, args, context) => {
      const id = inputId("Rejection", args.id);
      return id === null ? null : loadRejection(context, id);
    },
  }),
  rejections: t.connection(
    {
      type: Rejection,
      description: "The requests that were refused, the newest first.",
      authScopes: { organization: true },
      args: {
        code: t.arg.string({ description: "Only those with this code." }),
        code_In: t.arg.stringList({ description: "Only those with one of these codes." }),
        status: t.arg.int({ description: "Only those with this HTTP status." }),
        integration: t.arg.id({ description: "Only those for this integration." }),
        instance: t.arg.id({ description: "Only those for this instance." }),
        customer: t.arg.id({ description: "Only those for this customer." }),
        requestId: t.arg.string({ description: "Only the one with this request id." }),
        at_Gte: t.arg({ type: "DateTime", description: "Only those refused then or later." }),
        at_Lte: t.arg({ type: "DateTime", description: "Only those refused then or earlier." }),
        isReplayable: t.arg.boolean({ description: "Only those that can be replayed, or only others." }),
        orderBy: t.arg({
          type: RejectionOrder,
          description: "The order; the newest first where it is left out.",
        }),
      },
      resolve: async (_root, args, { store }) => {
        let query = rejectionsOf(store.executions);
        if (args.code != null) query = query.where("code", "=", args.code);
        if (args.code_In != null) query = query.where("code", "in", args.code_In);
        if (args.status != null) query = query.where("status", "=", args.status);
        if (args.instance != null) query = query.where("instanceId", "=", inputId("Instance", args.instance));
        if (args.customer != null) query = query.where("customerId", "=", inputId("Customer", args.customer));
        if (args.requestId != null) query = query.where("requestId", "=", args.requestId);
        if (args.at_Gte != null) query = query.where("atMs", ">=", args.at_Gte.getTime());
        if (args.at_Lte != null) query = query.where("atMs", "<=", args.at_Lte.getTime());
        if (args.integration != null) {
          const id = inputId("Integration", args.integration) ?? "";
          // A version's id stands for its integration: a rejection knows no version.
          const version = await store.config
            .selectFrom("versions")
            .select("integrationId")
            .where("id", "=", id)
            .executeTakeFirst();
          query = query.where("integrationId", "=", version?.integrationId ?? id);
        }
        if (args.isReplayable != null) {
          const wanted = args.isReplayable;
          query = query.where((row) => {
            const replayable = row.and([
              row("status", "in", replayableStatuses),
              row("requestJson", "is not", null),
            ]);
            return wanted ? replayable : row.not(replayable);
          });
        }
        return pageOfQuery(query, args, {
          columns: ["atMs", "id"],
          key: (row) => [row.atMs, row.id],
          direction: args.orderBy?.direction ?? "desc",
        });
      },
    },
    RejectionConnection,
  ),
}));
