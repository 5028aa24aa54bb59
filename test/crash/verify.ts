/** What must hold once all is over: everything that was promised is recorded, once, and has ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { endedExecution } from "../support/executionRecord.ts";
import { metricNames, readMetrics } from "../support/metrics.ts";
import type { Load } from "./load.ts";
import {
  executionsSince,
  openExecutions,
  type RecordRow,
  type RejectionRow,
  rejectionsSince,
  threadReruns,
} from "./records.ts";
import type { Site } from "./site.ts";

export interface Findings {
  promised: number;
  recorded: number;
  /** Runs beyond each execution's first. */
  reruns: number;
  /** What is wrong, as sentences; empty where nothing is. */
  faults: string[];
}

const settleTimeoutMs = 90_000;
const faultsMax = 10;

/**
 * Waits until nothing is left to do, then compares what was promised with what is there. `sinceMs` is before the
 * load by the planes' clocks; `recordedBefore` executions of that time are not the load's.
 */
export async function verify(site: Site, load: Load, sinceMs: number, recordedBefore = 0): Promise<Findings> {
  const { executions, rejections } = await settled(site, load, sinceMs);
  const lines = site.ledger.lines();
  const starts = site.ledger.starts();
  const ended = new Set(lines.filter(({ what }) => what === "ended").map(({ executionId }) => executionId));
  const faults = [...load.surprises.map((surprise) => `unexpected answer: ${surprise}`)];

  const byId = new Map<string, RecordRow[]>();
  for (const row of executions) byId.set(row.id, [...(byId.get(row.id) ?? []), row]);
  const byRequest = new Map<string, RejectionRow[]>();
  for (const row of rejections) byRequest.set(row.requestId, [...(byRequest.get(row.requestId) ?? []), row]);

  for (const { id, expectation } of load.promised) {
    if (expectation.kind === "rejection") {
      const rows = byRequest.get(id) ?? [];
      if (rows.length !== 1 || rows[0]!.code !== expectation.code)
        faults.push(`refusal ${id}: ${JSON.stringify(rows)}, not one ${expectation.code}`);
      continue;
    }
    const rows = byId.get(id) ?? [];
    const [row] = rows;
    if (rows.length !== 1 || row === undefined) faults.push(`${id}: ${rows.length} records`);
    else if (row.endedAt === null) faults.push(`${id}: stuck as ${row.status}`);
    else if (
      row.status !== expectation.status ||
      (expectation.errorCodes !== null && !expectation.errorCodes.includes(row.errorCode ?? ""))
    )
      faults.push(`${id}: ${row.status} ${row.errorCode} (${row.error}), not ${JSON.stringify(expectation)}`);
    else if (row.status === "SUCCEEDED" && !ended.has(id)) faults.push(`${id}: succeeded without having run`);
  }
  if (new Set(load.promised.map(({ id }) => id)).size !== load.promised.length)
    faults.push("an id was given to two webhooks");
  const unended = executions.filter(({ endedAt }) => endedAt === null);
  if (unended.length > 0) faults.push(`${unended.length} executions are stuck, as ${unended[0]!.id}`);
  const recorded = executions.length - recordedBefore;
  if (recorded > load.sent()) faults.push(`${recorded} executions are recorded, of ${load.sent()} webhooks`);
  let reruns = 0;
  for (const [id, runs] of starts) {
    // What was cut off before its answer may have begun while the records were read.
    const row = byId.get(id)?.[0] ?? (await endedRecord(site, id));
    reruns += runs - 1;
    if (row === null) faults.push(`${id} ran, but has no record that ended`);
    else if (runs > row.attempt && runs > row.attempt + (await threadReruns(site.planes, id)))
      faults.push(`${id} ran ${runs} times, but only ${row.attempt} attempts were counted`);
  }
  const left = await journalEntries(site);
  if (left > 0) faults.push(`${left} entries are left in the journal`);
  return {
    promised: load.promised.length,
    recorded,
    reruns,
    faults: faults.slice(0, faultsMax),
  };
}

const endedRecord = (site: Site, id: string): Promise<Pick<RecordRow, "attempt"> | null> =>
  endedExecution(site.planes, id, settleTimeoutMs).catch(() => null);

async function settled(
  site: Site,
  load: Load,
  sinceMs: number,
): Promise<{ executions: RecordRow[]; rejections: RejectionRow[] }> {
  const { planes, integrationIds } = site;
  const deadlineMs = Date.now() + settleTimeoutMs;
  for (;;) {
    const isLast = Date.now() > deadlineMs;
    if (isLast || (await openExecutions(planes, integrationIds)) === 0) {
      const executions = await executionsSince(planes, integrationIds, sinceMs);
      const rejections = await rejectionsSince(planes, sinceMs);
      const found = new Set([
        ...executions.filter(({ endedAt }) => endedAt !== null).map(({ id }) => id),
        ...rejections.map(({ requestId }) => requestId),
      ]);
      // What was cut off before its answer may run, too: it is looked for by what it did.
      const isComplete =
        load.promised.every(({ id }) => found.has(id)) &&
        [...site.ledger.starts().keys()].every((id) => found.has(id)) &&
        (await journalEntries(site)) === 0;
      if (isLast || (isComplete && executions.every(({ endedAt }) => endedAt !== null)))
        return { executions, rejections };
    }
    await sleep(100);
  }
}

/** What the journal still holds; 0 where the data plane has no metrics. */
async function journalEntries({ planes }: Site): Promise<number> {
  return (await readMetrics(planes.data.url))?.value(metricNames.journalEntries) ?? 0;
}
