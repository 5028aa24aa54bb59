/**
 * When scheduled flows run next: a row for each flow of a deployed, enabled instance whose schedule has another time
 * to come. Whatever changes what an instance has deployed, or pauses it, makes its rows anew.
 */
import { scheduleOfConfigVar } from "../../shared/configSchedule.ts";
import type { Flow } from "../../shared/definition.ts";
import type { ConfigVarValues } from "../../shared/feed.ts";
import { unseal } from "../../shared/secrets.ts";
import { type CronSchedule, cronProblem, nextRunAfter } from "../cron.ts";
import { readVersion } from "./configuredVersions.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export type ScheduleRow = ConfigTables["schedules"];

/** Makes the instance's rows anew; a flow's last run is kept in mind, so that two never run at once. */
export async function resetSchedules(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
): Promise<void> {
  const before = await transaction
    .selectFrom("schedules")
    .selectAll()
    .where("instanceId", "=", instanceId)
    .execute();
  const lastIds = new Map(before.map((row) => [row.stableKey, row.lastExecutionId]));
  if (before.length > 0)
    await transaction.deleteFrom("schedules").where("instanceId", "=", instanceId).execute();
  for (const { flow, schedule } of await schedulesOf(transaction, store, instanceId)) {
    await transaction
      .insertInto("schedules")
      .values({
        instanceId,
        stableKey: flow.stableKey,
        ...schedule,
        nextAtMs: nextRunAfter(schedule, Date.now()),
        isLate: 0,
        lastExecutionId: lastIds.get(flow.stableKey) ?? null,
      })
      .execute();
  }
}

/** A sentence for each schedule that can't be read. */
export function scheduleProblems(flows: readonly Flow[], configVars: ConfigVarValues): string[] {
  return flows.flatMap((flow) => {
    const schedule = scheduleOf(flow, configVars);
    const problem = schedule === null ? null : cronProblem(schedule);
    return problem === null ? [] : [`The schedule of flow "${flow.name}" can't be used: ${problem}.`];
  });
}

/** Those whose time has come, the longest overdue first. */
export const dueSchedules = (database: ConfigDatabase, nowMs: number, most: number): Promise<ScheduleRow[]> =>
  database
    .selectFrom("schedules")
    .selectAll()
    .where("nextAtMs", "<=", nowMs)
    .orderBy("nextAtMs")
    .limit(most)
    .execute();

/** When the next one is due; null where none is. */
export async function nextDueAtMs(database: ConfigDatabase): Promise<number | null> {
  const row = await database
    .selectFrom("schedules")
    .select("nextAtMs")
    .where("nextAtMs", "is not", null)
    .orderBy("nextAtMs")
    .limit(1)
    .executeTakeFirst();
  return row?.nextAtMs ?? null;
}

/** Changes a row, unless somebody else has since it was read. Returns whether it was changed. */
export async function changeSchedule(
  transaction: ConfigTransaction,
  row: ScheduleRow,
  changes: Pick<ScheduleRow, "nextAtMs" | "isLate" | "lastExecutionId">,
): Promise<boolean> {
  const updated = await transaction
    .updateTable("schedules")
    .set(changes)
    .where("instanceId", "=", row.instanceId)
    .where("stableKey", "=", row.stableKey)
    .where("nextAtMs", "=", row.nextAtMs)
    .executeTakeFirst();
  return updated.numUpdatedRows > 0n;
}

export async function nextRunOf(
  database: ConfigDatabase,
  instanceId: string,
  stableKey: string,
): Promise<number | null> {
  const row = await database
    .selectFrom("schedules")
    .select("nextAtMs")
    .where("instanceId", "=", instanceId)
    .where("stableKey", "=", stableKey)
    .executeTakeFirst();
  return row?.nextAtMs ?? null;
}

async function schedulesOf(
  transaction: ConfigTransaction,
  store: Store,
  instanceId: string,
): Promise<{ flow: Flow; schedule: CronSchedule }[]> {
  const instance = await transaction
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", instanceId)
    .executeTakeFirst();
  if (instance === undefined || instance.isSystem === 1 || instance.enabled === 0) return [];
  const { deployedVersionId, deployedSealedConfigVars: sealed } = instance;
  if (deployedVersionId === null) return [];
  const deployed = await readVersion(transaction, instance.integrationId, deployedVersionId);
  const flows = deployed?.definition.flows.filter((flow) => flow.steps[0]?.schedule !== undefined) ?? [];
  if (flows.length === 0) return [];
  const configVars =
    sealed === null
      ? {}
      : (JSON.parse(unseal(store.masterKey, "configVars", sealed).toString("utf8")) as ConfigVarValues);
  return flows.flatMap((flow) => {
    const schedule = scheduleOf(flow, configVars);
    return schedule === null ? [] : [{ flow, schedule }];
  });
}

/** Null where the flow has none, or its config variable says that it never runs. */
function scheduleOf({ steps }: Flow, configVars: ConfigVarValues): CronSchedule | null {
  const schedule = steps[0]?.schedule;
  if (schedule === undefined) return null;
  const { type, value, timeZone } = schedule;
  if (type === "value") return value.trim() === "" ? null : { cron: value, timeZone };
  const given = configVars[value];
  if (typeof given === "string") return given.trim() === "" ? null : { cron: given, timeZone };
  const own = scheduleOfConfigVar(given);
  return own.kind === "cron" ? { cron: own.cron, timeZone: own.timeZone || timeZone } : null;
}
