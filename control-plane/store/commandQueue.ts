/**
 * The durable commands that data planes carry out. A lease that runs out hands the command to the next data
 * plane; after too many leases it has failed, and so has the execution that it stood for.
 */
import { sql } from "kysely";
import type { Command, CommandKind, CommandResult } from "../../shared/commands.ts";
import { newId } from "../../shared/ids.ts";
import { sealResult } from "./commandResults.ts";
import type { ConfigTransaction, Store } from "./store.ts";

export type CommandPayload<Kind extends CommandKind> = Extract<Command, { kind: Kind }>["payload"];

const leaseMs = 60_000;
const attemptsMax = 5;

/**
 * Queues a command in the transaction that it belongs to; `feed.transact` tells the data planes of it. With an id of
 * its own it is queued once, however often this is called.
 */
export async function enqueueCommand<Kind extends CommandKind>(
  transaction: ConfigTransaction,
  kind: Kind,
  payload: CommandPayload<Kind>,
  { id = newId(), dataPlaneId = null }: { id?: string; dataPlaneId?: string | null } = {},
): Promise<string> {
  await transaction
    .insertInto("commands")
    .values({
      id,
      kind,
      payloadJson: JSON.stringify(payload),
      dataPlaneId,
      state: "QUEUED",
      leasedBy: null,
      leasedUntilMs: null,
      attempts: 0,
      error: null,
      sealedResult: null,
      createdAtMs: Date.now(),
      finishedAtMs: null,
    })
    .onConflict((conflict) => conflict.column("id").doNothing())
    .execute();
  return id;
}

/**
 * Hands out up to `first` commands, oldest first, for the time of a lease. `held`: those of its earlier leases that
 * the data plane still has in hand. The others never reached it, or were lost when it ended: they wait again at once.
 */
export async function leaseCommands(
  store: Store,
  dataPlaneId: string,
  first: number,
  held: readonly string[] | null = null,
  nowMs = Date.now(),
): Promise<Command[]> {
  if (held !== null) await endLeases(store, dataPlaneId, held);
  await expireLeases(store, nowMs);
  const rows = await store.config.transaction().execute(async (transaction) => {
    const waiting = transaction
      .selectFrom("commands")
      .select("id")
      .where("state", "=", "QUEUED")
      .where((row) => row.or([row("dataPlaneId", "is", null), row("dataPlaneId", "=", dataPlaneId)]))
      .orderBy("createdAtMs")
      .orderBy("id")
      .limit(first);
    return await transaction
      .updateTable("commands")
      .set((row) => ({
        state: "LEASED",
        leasedBy: dataPlaneId,
        leasedUntilMs: nowMs + leaseMs,
        attempts: row("attempts", "+", 1),
      }))
      .where("id", "in", waiting)
      .returning(["id", "kind", "attempts", "payloadJson"])
      .execute();
  });
  return rows
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(
      ({ id, kind, attempts, payloadJson }) =>
        ({ id, kind, attempts, payload: JSON.parse(payloadJson) as unknown }) as Command,
    );
}

/** Notes how commands went. A result that comes twice, or for a command that has ended, changes nothing. */
export async function completeCommands(store: Store, results: readonly CommandResult[]): Promise<void> {
  const failed = await store.config.transaction().execute(async (transaction) => {
    const ended: EndedCommand[] = [];
    for (const { id, error, result } of results) {
      const row = await transaction
        .updateTable("commands")
        .set({
          state: error === null ? "DONE" : "FAILED",
          error,
          sealedResult: result === undefined ? null : sealResult(store, result),
          finishedAtMs: Date.now(),
        })
        .where("id", "=", id)
        .where("state", "in", ["QUEUED", "LEASED"])
        .returning(["kind", "payloadJson", "error"])
        .executeTakeFirst();
      if (row !== undefined && error !== null) ended.push(row);
    }
    return ended;
  });
  await failExecutions(store, failed);
}

async function endLeases(store: Store, dataPlaneId: string, held: readonly string[]): Promise<void> {
  await store.config
    .updateTable("commands")
    .set({ leasedUntilMs: 0 })
    .where("state", "=", "LEASED")
    .where("leasedBy", "=", dataPlaneId)
    .where("id", "not in", [...held])
    .execute();
}

/** Puts commands whose lease ran out back into the queue, or ends them after the last attempt. */
export async function expireLeases(store: Store, nowMs = Date.now()): Promise<void> {
  await completeBegun(store, nowMs);
  const failed = await store.config.transaction().execute(async (transaction) => {
    const ended = await transaction
      .updateTable("commands")
      .set({
        state: "FAILED",
        error: `No data plane finished it in ${attemptsMax} attempts.`,
        finishedAtMs: nowMs,
      })
      .where("state", "=", "LEASED")
      .where("leasedUntilMs", "<", nowMs)
      .where("attempts", ">=", attemptsMax)
      .returning(["kind", "payloadJson", "error"])
      .execute();
    await transaction
      .updateTable("commands")
      .set({ state: "QUEUED", leasedBy: null, leasedUntilMs: null })
      .where("state", "=", "LEASED")
      .where("leasedUntilMs", "<", nowMs)
      .execute();
    return ended;
  });
  await failExecutions(store, failed);
}

/**
 * Who leased it made it durable and could not say so: its execution is reported, so a data plane has it. Handed out
 * again it would run a second time, where that data plane has forgotten it by now.
 */
async function completeBegun(store: Store, nowMs: number): Promise<void> {
  const expired = await store.config
    .selectFrom("commands")
    .select(["id", "payloadJson"])
    .where("state", "=", "LEASED")
    .where("leasedUntilMs", "<", nowMs)
    .limit(expiredAtOnceMax)
    .execute();
  const commandIds = new Map(
    expired.flatMap(({ id, payloadJson }): [string, string][] => {
      const { executionId } = JSON.parse(payloadJson) as { executionId?: string };
      return executionId === undefined ? [] : [[executionId, id]];
    }),
  );
  if (commandIds.size === 0) return;
  const begun = await store.executions
    .selectFrom("executions")
    .select("id")
    .where("id", "in", [...commandIds.keys()])
    .where(
      // What waits in its flow's queue is reported, too.
      sql<boolean>`(status <> 'QUEUED' OR EXISTS (SELECT 1 FROM executionEvents WHERE executionId = executions.id AND attempt >= 0))`,
    )
    .execute();
  if (begun.length === 0) return;
  await store.config
    .updateTable("commands")
    .set({ state: "DONE", finishedAtMs: nowMs })
    .where(
      "id",
      "in",
      begun.map(({ id }) => commandIds.get(id)!),
    )
    .where("state", "=", "LEASED")
    .execute();
}

const expiredAtOnceMax = 1000;

/**
 * Ends executions that wait for a command that was never there: the process died between the two writes. Looks
 * only at those older than `beforeMs`, so that none is caught between them, and younger than commands are kept. What
 * a data plane has taken may wait in its flow's queue for long.
 */
export async function failOrphans(store: Store, beforeMs: number): Promise<void> {
  const queued = await store.executions
    .selectFrom("executions")
    .select("id")
    // Written out, as the index of these alone is used where SQLite sees the value.
    .where(sql<boolean>`status = 'QUEUED'`)
    .where("startedAtMs", "<", beforeMs)
    .where("startedAtMs", ">", beforeMs - orphanAgeMaxMs)
    .where(
      sql<boolean>`NOT EXISTS (SELECT 1 FROM executionEvents WHERE executionId = executions.id AND attempt >= 0)`,
    )
    // Of these the command is queued yet.
    .where((row) =>
      row.not(
        row.exists(
          row
            .selectFrom("retries")
            .select("retries.id")
            .whereRef("retries.id", "=", "executions.id")
            .where("state", "=", "STARTING"),
        ),
      ),
    )
    .orderBy("startedAtMs")
    .limit(orphansAtOnceMax)
    .execute();
  if (queued.length === 0) return;
  const ids = queued.map((row) => row.id);
  const commanded = await store.config
    .selectFrom("commands")
    .select(sql<string>`payloadJson ->> 'executionId'`.as("executionId"))
    .where(sql<string>`payloadJson ->> 'executionId'`, "in", ids)
    .execute();
  const waitedFor = new Set(commanded.map((row) => row.executionId));
  const orphans = ids.filter((id) => !waitedFor.has(id));
  if (orphans.length === 0) return;
  await store.executions
    .updateTable("executions")
    .set({
      status: "FAILED",
      errorCode: "INTERNAL",
      error: "It was never handed to a data plane.",
      endedAtMs: Date.now(),
    })
    .where("id", "in", orphans)
    .where("status", "=", "QUEUED")
    .execute();
}

const orphansAtOnceMax = 200;
/** Of commands that are done the last day's are there. */
const orphanAgeMaxMs = 23 * 3_600_000;

export type CommandOutcome = { isEnded: boolean; error: string | null };

export async function commandOutcome(store: Store, id: string): Promise<CommandOutcome> {
  const row = await store.config
    .selectFrom("commands")
    .select(["state", "error"])
    .where("id", "=", id)
    .executeTakeFirst();
  if (row === undefined) return { isEnded: true, error: null };
  return { isEnded: row.state === "DONE" || row.state === "FAILED", error: row.error };
}

export interface CommandCounts {
  queued: number;
  leased: number;
}

/** How many commands have not ended. */
export async function countCommands(store: Store): Promise<CommandCounts> {
  const rows = await store.config
    .selectFrom("commands")
    .select((row) => ["state", row.fn.countAll<number>().as("count")])
    .where("state", "in", ["QUEUED", "LEASED"])
    .groupBy("state")
    .execute();
  const countOf = (state: string): number => rows.find((row) => row.state === state)?.count ?? 0;
  return { queued: countOf("QUEUED"), leased: countOf("LEASED") };
}

interface EndedCommand {
  kind: string;
  payloadJson: string;
  error: string | null;
}

/** An execution that was made for a command ends with it, where no report has ended it already. */
async function failExecutions(store: Store, commands: readonly EndedCommand[]): Promise<void> {
  for (const { payloadJson, error } of commands) {
    const { executionId } = JSON.parse(payloadJson) as { executionId?: string };
    if (executionId === undefined) continue;
    await store.executions
      .updateTable("executions")
      .set({ status: "FAILED", errorCode: "INTERNAL", error, endedAtMs: Date.now() })
      .where("id", "=", executionId)
      .where("status", "in", ["QUEUED", "RUNNING"])
      .execute();
  }
}
