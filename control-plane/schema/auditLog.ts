/** The audit log: what people changed, or tried to. For the organization only. */
import { isUuid, parseNodeId, toNodeId } from "../../shared/ids.ts";
import { type Context, isOrganization } from "../context.ts";
import type { AuditRow } from "../store/auditLog.ts";
import { builder } from "./builder.ts";
import { pageOfQuery } from "./connections.ts";
import { loadCustomers } from "./customers.ts";
import { inputId } from "./inputs.ts";
import { Customer, User } from "./refs.ts";

const AuditOutcome = builder.enumType("AuditOutcome", {
  description: "What came of a mutation.",
  values: {
    SUCCEEDED: { value: "SUCCEEDED", description: "It was done." },
    REFUSED: {
      value: "REFUSED",
      description: "It was not done; after a row of the same request that says otherwise: it was undone.",
    },
  } as const,
});

const AuditEvent = builder.objectRef<AuditRow>("AuditEvent");

builder.node(AuditEvent, {
  description: "A mutation that somebody sent. Events are only added, and pruned by age.",
  authScopes: { organization: true },
  id: { resolve: (event) => event.id },
  isTypeOf: undefined,
  loadOne: (id, context) => loadEvent(context, id),
  fields: (t) => ({
    at: t.field({
      type: "DateTime",
      description: "When it was done or refused.",
      resolve: ({ atMs }) => atMs,
    }),
    actor: t.string({
      description:
        "Who sent it: a user's id; admin for a token that belongs to no user; anonymous for nobody known; data-plane.",
      resolve: ({ actor }) => shownActor(actor),
    }),
    actorRole: t.exposeString("actorRole", { description: "The role that they had then; NONE without one." }),
    user: t.field({
      type: User,
      nullable: true,
      description: "The user who sent it, where it was one and is still there.",
      resolve: async ({ actor }, _args, { store }) =>
        isUuid(actor)
          ? ((await store.config
              .selectFrom("users")
              .selectAll()
              .where("id", "=", actor)
              .executeTakeFirst()) ?? null)
          : null,
    }),
    token: t.string({
      nullable: true,
      description: "The id of the token that they showed, where it is one that is kept.",
      resolve: ({ tokenId }) => (tokenId === null ? null : toNodeId("UserToken", tokenId)),
    }),
    remoteAddress: t.exposeString("remoteAddress", {
      description: "The address that it came from; behind trusted proxies, the one that they name.",
    }),
    requestId: t.exposeString("requestId", {
      description: "The x-request-id of the answer. The mutations of one request share it.",
    }),
    action: t.exposeString("action", {
      description: "The mutation's name; signIn for a token that was refused.",
    }),
    objectId: t.exposeID("objectId", {
      nullable: true,
      description: "The id of what it is about, which may be gone.",
    }),
    customer: t.loadable({
      type: Customer,
      nullable: true,
      description: "The customer that it concerns, where there is one who is still there.",
      load: loadCustomers,
      resolve: ({ customerId }) => customerId,
    }),
    outcome: t.field({
      type: AuditOutcome,
      description: "What came of it.",
      resolve: ({ outcome }) => outcome as "SUCCEEDED" | "REFUSED",
    }),
    detail: t.field({
      type: "JSON",
      description:
        "The input, the object before and after, what was made, and the errors, without secrets and cut to 64 KB.",
      resolve: ({ detailJson }) => JSON.parse(detailJson) as unknown,
    }),
  }),
});

const AuditEventConnection = builder.connectionObject(
  { type: AuditEvent, name: "AuditEventConnection", description: "A page of the audit log." },
  { name: "AuditEventEdge", description: "An event with its cursor." },
);

builder.queryField("auditLog", (t) =>
  t.connection(
    {
      type: AuditEvent,
      description: "What was changed, by whom and from where, the newest first.",
      authScopes: { organization: true },
      args: {
        actor: t.arg.string({ description: "Only what this actor sent: a user's id, or admin, anonymous." }),
        action: t.arg.string({ description: "Only this mutation." }),
        action_In: t.arg.stringList({ description: "Only these mutations." }),
        objectId: t.arg.id({ description: "Only what is about the object with this id." }),
        customer: t.arg.id({ description: "Only what concerns this customer, who may be gone." }),
        outcome: t.arg({ type: AuditOutcome, description: "Only what was done, or only what was refused." }),
        requestId: t.arg.string({ description: "Only the mutations of this request." }),
        at_Gte: t.arg({ type: "DateTime", description: "Only what was sent then or later." }),
        at_Lte: t.arg({ type: "DateTime", description: "Only what was sent then or earlier." }),
      },
      resolve: (_root, args, { store }) => {
        let query = store.config.selectFrom("auditLog").selectAll();
        if (args.actor != null) query = query.where("actor", "=", storedActor(args.actor));
        if (args.action != null) query = query.where("action", "=", args.action);
        if (args.action_In != null) query = query.where("action", "in", args.action_In);
        if (args.objectId != null) query = query.where("objectId", "=", args.objectId);
        if (args.customer != null) query = query.where("customerId", "=", inputId("Customer", args.customer));
        if (args.outcome != null) query = query.where("outcome", "=", args.outcome);
        if (args.requestId != null) query = query.where("requestId", "=", args.requestId);
        if (args.at_Gte != null) query = query.where("atMs", ">=", args.at_Gte.getTime());
        if (args.at_Lte != null) query = query.where("atMs", "<=", args.at_Lte.getTime());
        return pageOfQuery(query, args, {
          columns: ["atMs", "id"],
          key: (row) => [row.atMs, row.id],
          direction: "desc",
        });
      },
    },
    AuditEventConnection,
  ),
);

async function loadEvent(context: Context, id: string): Promise<AuditRow | null> {
  if (!isUuid(id) || !isOrganization(context)) return null;
  const { config } = context.store;
  return (await config.selectFrom("auditLog").selectAll().where("id", "=", id).executeTakeFirst()) ?? null;
}

/** Users are stored by their bare id, and shown and asked for by their node id. */
const shownActor = (actor: string): string => (isUuid(actor) ? toNodeId("User", actor) : actor);
function storedActor(actor: string): string {
  const node = parseNodeId(actor);
  return node?.type === "User" ? node.id : actor;
}
