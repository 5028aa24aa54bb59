/** Housekeeping of the control plane's store: what is deleted, what is handed out again, what ends. */
import { describe, expect, onTestFinished, test } from "vitest";
import { retentionStep } from "../control-plane/retention.ts";
import { enqueueCommand, leaseCommands } from "../control-plane/store/commandQueue.ts";
import { ingestReports } from "../control-plane/store/reportIngestion.ts";
import { openStore, type Store } from "../control-plane/store/store.ts";
import { newId } from "../shared/ids.ts";
import type { ExecutionEvent, RejectionEvent } from "../shared/reports.ts";
import { loadMasterKey } from "../shared/secrets.ts";
import { executionEvent } from "./support/executionEvent.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const dayMs = 24 * 3_600_000;
const now = Date.now();
const limits = {
  executionRetentionDays: 14,
  executionBytesMax: Number.MAX_SAFE_INTEGER,
  auditRetentionDays: 400,
};

async function newStore(): Promise<Store> {
  const folder = temporaryFolder();
  const file = `${folder}/master.key`;
  const store = await openStore(folder, loadMasterKey({ given: undefined, file, mayCreate: true }));
  onTestFinished(() => store.close());
  return store;
}

const ended = (startedAtMs: number, message = ""): ExecutionEvent =>
  executionEvent({
    startedAtMs,
    logs: [
      {
        part: "FLOW",
        sequence: 1,
        atMs: startedAtMs,
        severity: "INFO",
        message,
        stepName: null,
        sectionId: null,
      },
    ],
  });

const refused = (atMs: number): RejectionEvent => ({
  kind: "rejection",
  id: newId(),
  atMs,
  code: "KEY_REFUSED",
  status: 401,
  reason: "",
  requestId: "r",
  integrationId: null,
  instanceId: null,
  customerId: null,
  method: "POST",
  remoteAddress: "",
  count: 1,
  request: null,
});

const countOf = async (
  store: Store,
  table: "executions" | "rejections" | "executionLogs" | "executionEvents",
): Promise<number> => {
  const { count } = await store.executions
    .selectFrom(table)
    .select((row) => row.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return Number(count);
};

describe("retention", () => {
  test("deletes what is older than its days, with all its parts, in steps", async () => {
    const store = await newStore();
    const old = now - 15 * dayMs;
    await ingestReports(
      store,
      Array.from({ length: 250 }, () => ended(old)),
    );
    await ingestReports(store, [ended(now), refused(old), refused(now)]);
    expect(await retentionStep(store, limits, now)).toBe(201);
    expect(await countOf(store, "executions")).toBe(51);
    expect(await retentionStep(store, limits, now)).toBe(50);
    expect(await retentionStep(store, limits, now)).toBe(0);
    expect(await countOf(store, "executions")).toBe(1);
    expect(await countOf(store, "executionLogs")).toBe(1);
    expect(await countOf(store, "executionEvents")).toBe(1);
    expect(await countOf(store, "rejections")).toBe(1);
  });

  test("deletes the oldest while the bytes are over their limit", async () => {
    const store = await newStore();
    const events = Array.from({ length: 400 }, (_, index) => ended(now + index, "x".repeat(5000)));
    await ingestReports(store, events);
    const bounded = { ...limits, executionBytesMax: 2_500_000 };
    expect(await retentionStep(store, bounded, now)).toBe(200);
    expect(await retentionStep(store, bounded, now)).toBe(0);
    const left = await store.executions.selectFrom("executions").select("id").execute();
    expect(left.map((row) => row.id).sort()).toEqual(
      events
        .slice(200)
        .map((event) => event.id)
        .sort(),
    );
  });
});

/** Records as the control plane makes them itself: no data plane has reported anything. */
async function asIfNotBegun(store: Store): Promise<void> {
  await store.executions.updateTable("executions").set({ status: "QUEUED", endedAtMs: null }).execute();
  await store.executions.deleteFrom("executionEvents").execute();
}

describe("commands", () => {
  test("are handed out again when a lease runs out, and fail with their execution after five", async () => {
    const store = await newStore();
    const execution = ended(now);
    await ingestReports(store, [{ ...execution, finish: null }]);
    await asIfNotBegun(store);
    const payload = { executionId: execution.id, replayOf: null, request: {} as never };
    await store.config.transaction().execute((transaction) => enqueueCommand(transaction, "REPLAY", payload));
    for (let attempt = 1; attempt <= 5; attempt++) {
      const at = now + attempt * 61_000;
      expect(await leaseCommands(store, "dp", 10, null, at)).toMatchObject([{ attempts: attempt }]);
      expect(await leaseCommands(store, "other", 10, [], at + 59_000)).toEqual([]);
    }
    expect(await leaseCommands(store, "dp", 10, null, now + 7 * 61_000)).toEqual([]);
    const row = await store.executions
      .selectFrom("executions")
      .select(["status", "error"])
      .where("id", "=", execution.id)
      .executeTakeFirstOrThrow();
    expect(row).toEqual({ status: "FAILED", error: "No data plane finished it in 5 attempts." });
  });

  test("whose execution was reported are done, whether or not who leased them could say so", async () => {
    const store = await newStore();
    const execution = ended(now);
    await ingestReports(store, [execution]);
    const payload = { executionId: execution.id, replayOf: null, request: {} as never };
    await store.config.transaction().execute((transaction) => enqueueCommand(transaction, "REPLAY", payload));
    expect(await leaseCommands(store, "dp", 10, null, now)).toHaveLength(1);
    expect(await leaseCommands(store, "dp", 10, null, now + 61_000)).toEqual([]);
    const rows = await store.config.selectFrom("commands").select(["state", "error"]).execute();
    expect(rows).toEqual([{ state: "DONE", error: null }]);
  });

  test("that were never written end the execution that waits for them", async () => {
    const store = await newStore();
    const [orphan, waiting] = [ended(now - dayMs / 2), ended(now - dayMs / 2)];
    await ingestReports(store, [orphan, waiting]);
    await asIfNotBegun(store);
    const payload = { executionId: waiting.id, replayOf: null, request: {} as never };
    await store.config.transaction().execute((transaction) => enqueueCommand(transaction, "REPLAY", payload));
    await retentionStep(store, limits, now);
    const rows = await store.executions.selectFrom("executions").select(["id", "status"]).execute();
    expect(Object.fromEntries(rows.map((row) => [row.id, row.status]))).toEqual({
      [orphan.id]: "FAILED",
      [waiting.id]: "QUEUED",
    });
  });
});
