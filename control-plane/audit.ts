/**
 * The audit log: each mutation of a person writes one row in the transaction of its change, so that neither is
 * there without the other; one that changes nothing, or is refused, writes its row right after. What data planes
 * report all day long (feed, leases, events) is not audited, but what is refused to them is.
 */
import { GraphQLError } from "graphql";
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { senderNetwork } from "../shared/addresses.ts";
import { messageOf } from "../shared/errors.ts";
import { isUuid, type NodeType, parseNodeId, toNodeId } from "../shared/ids.ts";
import { boundedPart, shownInput } from "./auditDetail.ts";
import type { Context, Viewer } from "./context.ts";
import { insertAuditRow, type NewAuditRow } from "./store/auditLog.ts";
import { isAuditedType, nodeTypeOf, readSnapshot, type Snapshot } from "./store/auditSnapshots.ts";
import { type InsertedRow, noteInserts } from "./store/insertedRows.ts";
import type { ConfigDatabase, Store } from "./store/store.ts";

interface Payload {
  errors: { field: string; messages: string[] }[];
}

/** Where a request came from. */
export interface Origin {
  remoteAddress: string;
  requestId: string;
}

export interface AuditLog {
  /** Runs a mutation, with a context whose transactions are audited. */
  mutation(
    action: string,
    input: unknown,
    context: Context,
    run: (context: Context) => Promise<Payload>,
  ): Promise<Payload>;
  /** A mutation that the viewer has no right to. */
  denied(action: string, input: unknown, context: Context): Promise<void>;
  /** A token that is not valid. */
  failedSignIn(origin: Origin): Promise<void>;
}

interface NodeRef {
  type: string;
  id: string;
}

/** `onRow` is told the outcome of each row that is written. */
export function createAuditLog(
  store: Store,
  log: Logger,
  onRow: (outcome: string) => void = () => {},
): AuditLog {
  const refusals = createRefusalBudget(log);
  const insert = async (database: ConfigDatabase, row: NewAuditRow): Promise<void> => {
    await insertAuditRow(database, row);
    onRow(row.outcome.toLowerCase());
  };

  const refused = async (
    row: Omit<NewAuditRow, "outcome" | "detailJson">,
    detail: Record<string, unknown>,
  ): Promise<void> => {
    const omitted = refusals.take(row.actor, row.remoteAddress);
    if (omitted === null) return;
    const detailJson = JSON.stringify({ ...detail, ...(omitted > 0 ? { omittedBefore: omitted } : {}) });
    try {
      await insert(store.config, { ...row, outcome: "REFUSED", detailJson });
    } catch (error) {
      // Nothing was changed, so the caller is told of the refusal itself.
      log.error({ err: error, action: row.action }, "a refusal could not be audited");
    }
  };

  return {
    async mutation(action, input, context, run) {
      if (context.viewer?.role === "DATA_PLANE") return run(context);
      const who = { ...whoOf(context.viewer), ...originOf(context), action };
      const given = objectsOf(input);
      const target = given.id ?? given.named;
      const shown = shownInput(input);
      let isWritten = false;

      const transact: Context["feed"]["transact"] = (work) => {
        if (isWritten) return context.feed.transact(work);
        return context.feed
          .transact(async (plain) => {
            const before = await snapshotOf(plain, store, target);
            const { transaction, inserted } = noteInserts(plain);
            const result = await work(transaction);
            const object = mainObject(action, given, inserted);
            const isGiven = object === target;
            const after = await snapshotOf(plain, store, object);
            const created = inserted.flatMap((row) => createdNode(row)).slice(0, createdMax);
            await insert(plain, {
              ...who,
              objectId: nodeIdOf(object),
              customerId: after.customerId ?? before.customerId ?? who.customerId,
              outcome: "SUCCEEDED",
              detailJson: JSON.stringify({
                input: shown,
                before: isGiven ? boundedPart(before.shown) : null,
                after: boundedPart(after.shown),
                ...(created.length > 0 ? { created } : {}),
              }),
            });
            return result;
          })
          .then((result) => {
            isWritten = true;
            return result;
          });
      };

      const refuse = async (errors: Payload["errors"]): Promise<void> => {
        const now = await snapshotOf(store.config, store, target);
        await refused(
          { ...who, objectId: nodeIdOf(target), customerId: now.customerId ?? who.customerId },
          // Where a row says that it was done, this one says what became of it: a deploy that was undone.
          {
            input: shown,
            ...(isWritten ? { after: boundedPart(now.shown) } : {}),
            errors: boundedPart(errors),
          },
        );
      };

      let payload: Payload;
      try {
        payload = await run({ ...context, feed: { ...context.feed, transact } });
      } catch (error) {
        await refuse([{ field: "__all__", messages: [publicMessage(error)] }]);
        throw error;
      }
      if (payload.errors.length > 0) {
        await refuse(payload.errors);
      } else if (!isWritten) {
        const { customerId } = await snapshotOf(store.config, store, target);
        await insert(store.config, {
          ...who,
          objectId: nodeIdOf(target),
          customerId: customerId ?? who.customerId,
          outcome: "SUCCEEDED",
          detailJson: JSON.stringify({ input: shown }),
        });
      }
      return payload;
    },

    denied(action, input, context) {
      const { id, named } = objectsOf(input);
      const errors = [
        { field: "__all__", messages: [context.viewer === null ? "Not signed in." : "No permission."] },
      ];
      const row = { ...whoOf(context.viewer), ...originOf(context), action, objectId: nodeIdOf(id ?? named) };
      return refused(row, { errors });
    },

    failedSignIn(origin) {
      const errors = [{ field: "__all__", messages: ["The token is not valid."] }];
      const row = { ...whoOf(null), ...originOf(origin), action: "signIn", objectId: null };
      return refused(row, { errors });
    },
  };
}

const createdMax = 20;

function whoOf(viewer: Viewer | null): Pick<NewAuditRow, "actor" | "actorRole" | "tokenId" | "customerId"> {
  if (viewer === null) return { actor: "anonymous", actorRole: "NONE", tokenId: null, customerId: null };
  const { role, tokenId } = viewer;
  if (role === "DATA_PLANE") return { actor: "data-plane", actorRole: role, tokenId, customerId: null };
  const customerId = "customerId" in viewer ? viewer.customerId : null;
  return { actor: viewer.userId ?? "admin", actorRole: role, tokenId, customerId };
}

const originOf = ({ remoteAddress, requestId }: Origin): Origin => ({ remoteAddress, requestId });

interface GivenObjects {
  /** What the input calls `id`. */
  id: NodeRef | undefined;
  /** The first other object that it names. */
  named: NodeRef | undefined;
}

function objectsOf(input: unknown): GivenObjects {
  const fields = typeof input === "object" && input !== null ? (input as Record<string, unknown>) : {};
  const { id, ...others } = fields;
  const named = Object.values(others)
    .map(nodeOf)
    .find((node) => node !== undefined);
  return { id: nodeOf(id), named };
}

function nodeOf(value: unknown): NodeRef | undefined {
  const node = wholeOf(typeof value === "string" ? parseNodeId(value) : null);
  return node !== null && isAuditedType(node.type) && isUuid(node.id) ? node : undefined;
}

/** A config variable's id is that of what it belongs to, with its key behind a slash. */
const wholeOf = (node: NodeRef | null): NodeRef | null => {
  const type = node === null ? undefined : wholes[node.type];
  return node === null || type === undefined ? node : { type, id: node.id.split("/", 1)[0]! };
};

const wholes: Record<string, string> = {
  InstanceConfigVariable: "Instance",
  UserLevelConfigVariable: "UserLevelConfig",
};

/** What a mutation is about: what `id` names, else what it made, else what else it names. */
function mainObject(
  action: string,
  { id, named }: GivenObjects,
  inserted: readonly InsertedRow[],
): NodeRef | undefined {
  const made = inserted.flatMap((row) => {
    const type = nodeTypeOf(row);
    return type === null ? [] : [{ type, id: row.id }];
  });
  return id ?? made.find(({ type }) => action.endsWith(type)) ?? named ?? made[0];
}

function createdNode(row: InsertedRow): string[] {
  const type = nodeTypeOf(row);
  return type === null ? [] : [toNodeId(type as NodeType, row.id)];
}

const nodeIdOf = (object: NodeRef | undefined): string | null =>
  object === undefined ? null : toNodeId(object.type as NodeType, object.id);

const snapshotOf = async (
  database: ConfigDatabase,
  store: Store,
  object: NodeRef | undefined,
): Promise<Snapshot> =>
  object === undefined ? { shown: null, customerId: null } : readSnapshot(database, store, object);

/** What the caller is told; our own faults are in the process' log. */
const publicMessage = (error: unknown): string =>
  error instanceof GraphQLError || (error instanceof Error && error.name === "GraphQLError")
    ? messageOf(error)
    : "Something went wrong on our side.";

/** Rows of refusals in a minute, so that nobody fills the log by being refused. */
const perActorMax = 200;
const anonymousPerAddressMax = 20;
const anonymousMax = 200;
const windowMs = 60_000;
const countersMax = 10_000;

interface RefusalBudget {
  /** How many were left out since the last row of this actor or address; null where this one is, too. */
  take(actor: string, remoteAddress: string): number | null;
}

interface Counter {
  windowEndsAtMs: number;
  count: number;
  omitted: number;
}

function createRefusalBudget(log: Logger): RefusalBudget {
  const counters = new LRUCache<string, Counter>({ max: countersMax });
  const counterOf = (name: string): Counter => {
    const now = Date.now();
    const found = counters.get(name);
    if (found !== undefined && found.windowEndsAtMs > now) return found;
    // What was left out is told by the first row of the next minute.
    const counter = { windowEndsAtMs: now + windowMs, count: 0, omitted: found?.omitted ?? 0 };
    counters.set(name, counter);
    return counter;
  };
  return {
    take(actor, remoteAddress) {
      const isAnonymous = actor === "anonymous" || actor === "data-plane";
      const own = counterOf(isAnonymous ? `network ${senderNetwork(remoteAddress)}` : `actor ${actor}`);
      const all = isAnonymous ? counterOf("all addresses") : own;
      if (own.count >= (isAnonymous ? anonymousPerAddressMax : perActorMax) || all.count >= anonymousMax) {
        if (own.omitted === 0) log.warn({ actor, remoteAddress }, "refusals are left out of the audit log");
        own.omitted += 1;
        return null;
      }
      own.count += 1;
      if (all !== own) all.count += 1;
      const { omitted } = own;
      own.omitted = 0;
      return omitted;
    },
  };
}
