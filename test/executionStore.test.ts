/** How executions lie in the store: buckets, parts of events, and what an older store brings along. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { eventShape, isExecutionEvent } from "../control-plane/schema/reportChecks.ts";
import { executionMigrations } from "../control-plane/store/migrations.ts";
import { pruneOlderThan } from "../control-plane/store/pruning.ts";
import { ingestReports } from "../control-plane/store/reportIngestion.ts";
import { openStore, type Store } from "../control-plane/store/store.ts";
import { readExecutionRequest, readStepResults } from "../control-plane/store/storedObjects.ts";
import { newId } from "../shared/ids.ts";
import type { ExecutionEvent, LogReport, StepReport } from "../shared/reports.ts";
import { loadMasterKey } from "../shared/secrets.ts";
import { migrate, openSqlite } from "../shared/sqlite.ts";
import { executionEvent } from "./support/executionEvent.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

async function storeIn(folder: string): Promise<Store> {
  const file = `${folder}/master.key`;
  const store = await openStore(folder, loadMasterKey({ given: undefined, file, mayCreate: true }));
  onTestFinished(() => store.close());
  return store;
}

const now = Date.now();
const integrationId = newId();
const versionId = newId();

const event = (changes: Partial<ExecutionEvent> = {}): ExecutionEvent =>
  executionEvent({
    startedAtMs: now,
    target: { ...executionEvent().target, integrationId, versionId },
    ...changes,
  });

const log = (sequence: number, message: string): LogReport => ({
  part: "FLOW",
  sequence,
  atMs: now,
  severity: "INFO",
  message,
  stepName: null,
  sectionId: null,
});

const step = (sequence: number, results: string): StepReport => ({
  part: "FLOW",
  sequence,
  stepName: `step ${sequence}`,
  stepStableKey: "s",
  startedAtMs: now,
  endedAtMs: now,
  error: null,
  results: Buffer.from(results).toString("base64"),
  isTruncated: false,
});

const request = (body: string) => ({
  method: "POST",
  pathFragment: "",
  query: "",
  headers: [["a", "b"]] as [string, string][],
  body,
  keyHmacs: [],
  remoteAddress: "",
  receivedAtMs: now,
  requestId: "r",
  token: "t",
});

describe("buckets of executions", () => {
  const bucketsOf = (store: Store) =>
    store.executions.selectFrom("executionBuckets").select("atMs").orderBy("atMs").execute();

  /** As the lists of one instance are read. */
  const walk = async (store: Store, instanceId: string): Promise<string[]> => {
    const rows = await store.executions
      .selectFrom("executionBuckets")
      .crossJoin("executions")
      .whereRef("executions.bucketAtMs", "=", "executionBuckets.atMs")
      .where("instanceId", "=", instanceId)
      .select("executions.id")
      .orderBy("executionBuckets.atMs", "desc")
      .orderBy("startedAtMs", "desc")
      .orderBy("executions.id", "desc")
      .execute();
    return rows.map((row) => row.id);
  };

  const plain = async (store: Store, instanceId: string): Promise<string[]> => {
    const rows = await store.executions
      .selectFrom("executions")
      .where("instanceId", "=", instanceId)
      .select("id")
      .orderBy("startedAtMs", "desc")
      .orderBy("id", "desc")
      .execute();
    return rows.map((row) => row.id);
  };

  test("are walked in the order of the start, whatever comes late, twice or from a clock that is ahead", async () => {
    const folder = temporaryFolder();
    let store = await storeIn(folder);
    const instances = [newId(), newId(), newId()];
    const made = (index: number, startedAtMs: number): ExecutionEvent => {
      const base = event({ startedAtMs });
      return { ...base, target: { ...base.target, instanceId: instances[index % instances.length]! } };
    };
    const starts = (count: number, fromMs: number): ExecutionEvent[] =>
      Array.from({ length: count }, (_, index) => {
        const isLate = index % 97 === 0;
        const isAhead = index % 1009 === 0;
        return made(index, fromMs + index - (isLate ? 5000 : 0) + (isAhead ? 3_600_000 + index : 0));
      });
    const first = starts(9000, now - 100_000);
    for (let at = 0; at < first.length; at += 500) await ingestReports(store, first.slice(at, at + 500));
    await ingestReports(store, first.slice(0, 500));
    await store.close();
    store = await storeIn(folder);
    await ingestReports(store, starts(9000, now - 90_000));
    const buckets = await bucketsOf(store);
    expect(buckets.length).toBeGreaterThan(3);
    for (const instance of instances) {
      const walked = await walk(store, instance);
      expect(walked.length).toBe(6000);
      expect(walked).toEqual(await plain(store, instance));
    }
    // Empty ones go with what was in them, but for the first and the newest.
    while ((await pruneOlderThan(store, now + 10 * 3_600_000, 5000)) > 0);
    expect((await bucketsOf(store)).length).toBe(2);
    const last = made(0, now);
    await ingestReports(store, [last]);
    expect(await walk(store, instances[0]!)).toEqual([last.id]);
  }, 60_000);

  test("that a failed batch has made are forgotten with it", async () => {
    const store = await storeIn(temporaryFolder());
    const many = Array.from({ length: 4200 }, (_, index) => event({ startedAtMs: now + index }));
    const broken = { ...event(), id: null as unknown as string };
    await expect(ingestReports(store, [...many, broken])).rejects.toThrow();
    expect(await bucketsOf(store)).toHaveLength(1);
    await ingestReports(store, [event({ startedAtMs: now + 5000 })]);
    expect(await bucketsOf(store)).toHaveLength(1);
    const lost = await store.executions
      .selectFrom("executions")
      .select("id")
      .where("bucketAtMs", "not in", (query) => query.selectFrom("executionBuckets").select("atMs"))
      .execute();
    expect(lost).toEqual([]);
  });
});

describe("parts of events", () => {
  test("that are reported again by another event are stored once, the first one", async () => {
    const store = await storeIn(temporaryFolder());
    const id = newId();
    const section = { sectionId: "s1", label: "first", startedAtMs: now };
    await ingestReports(store, [
      event({ id, finish: null, logs: [log(1, "a"), log(1, "a again"), log(2, "b")], sections: [section] }),
      event({ id, sequence: 3, finish: null, logs: [log(6, "f")], steps: [step(5, "five")] }),
      event({
        id,
        sequence: 2,
        logs: [log(2, "b again"), log(3, "c"), log(6, "f again")],
        steps: [step(4, "four"), step(5, "five again")],
        sections: [{ ...section, label: "again" }],
      }),
    ]);
    const logs = await store.executions
      .selectFrom("executionLogs")
      .select(["sequence", "message"])
      .where("executionId", "=", id)
      .orderBy("sequence")
      .execute();
    expect(logs.map(({ message }) => message)).toEqual(["a", "b", "c", "f"]);
    const sections = await store.executions.selectFrom("executionSections").select("label").execute();
    expect(sections).toEqual([{ label: "first" }]);
    const resultsOf = async (sequence: number) =>
      (await readStepResults(store, { executionId: id, attempt: 1, sequence }))?.toString();
    expect([await resultsOf(4), await resultsOf(5), await resultsOf(6)]).toEqual(["four", "five", undefined]);
  });

  test("keep the first request that came, once", async () => {
    const store = await storeIn(temporaryFolder());
    const id = newId();
    await ingestReports(store, [
      event({ id, finish: null }),
      event({ id, sequence: 2, finish: null, request: request("first") }),
      event({ id, attempt: 2, request: request("second") }),
    ]);
    expect((await readExecutionRequest(store, id))?.body).toBe("first");
    const { count } = await store.executions
      .selectFrom("executionEvents")
      .select((row) => row.fn.countAll<number>().as("count"))
      .where("requestJson", "is not", null)
      .executeTakeFirstOrThrow();
    expect(Number(count)).toBe(1);
  });
});

test("a store of the first schema keeps its executions, with logs, sections, steps and requests", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "control"));
  const old = openSqlite(join(folder, "control", "executions.db"), { synchronous: "off" });
  migrate(old, executionMigrations.slice(0, 1));
  const [whole, waiting] = [newId(), newId()];
  const insert = old.prepare(
    `INSERT INTO executions VALUES (?, ?, 'WEBHOOK', 0, 0, 2, ?, ?, NULL, NULL, 200, 'i', 'v', 1, 'inst', 'cust', NULL,
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, ?, 100)`,
  );
  insert.run(whole, "SUCCEEDED", now, now, JSON.stringify(request("of the whole")));
  insert.run(waiting, "QUEUED", now + 1, null, JSON.stringify(request("of the waiting")));
  for (const [attempt, sequence] of [
    [1, 1],
    [2, 1],
    [2, 2],
  ]) {
    old.prepare("INSERT INTO executionEvents VALUES (?, ?, ?)").run(whole, attempt, sequence);
  }
  const addLog = old.prepare("INSERT INTO executionLogs VALUES (?, ?, ?, 'FLOW', ?, 'INFO', ?, NULL, NULL)");
  addLog.run(whole, 1, 1, now, `says "one"`);
  addLog.run(whole, 2, 3, now, "three");
  addLog.run(whole, 2, 1, now, "two");
  old.prepare("INSERT INTO executionSections VALUES (?, 2, 's', 'label', ?)").run(whole, now);
  const addStep = old.prepare(
    "INSERT INTO executionSteps VALUES (?, 2, ?, 'FLOW', 'n', 'k', 1, 2, NULL, ?, 1)",
  );
  addStep.run(whole, 2, Buffer.from([1, 2, 3]));
  addStep.run(whole, 4, Buffer.from([]));
  addStep.run(whole, 5, Buffer.from([0, 255]));
  old.close();

  const store = await storeIn(folder);
  const logs = await store.executions
    .selectFrom("executionLogs")
    .selectAll()
    .orderBy("attempt")
    .orderBy("sequence")
    .execute();
  expect(logs.map(({ attempt, sequence, message }) => [attempt, sequence, message])).toEqual([
    [1, 1, `says "one"`],
    [2, 1, "two"],
    [2, 3, "three"],
  ]);
  const sections = await store.executions.selectFrom("executionSections").selectAll().execute();
  expect(sections).toEqual([
    { executionId: whole, attempt: 2, sectionId: "s", label: "label", startedAtMs: now },
  ]);
  const results = await Promise.all(
    [2, 4, 5].map((sequence) => readStepResults(store, { executionId: whole, attempt: 2, sequence })),
  );
  expect(results.map((bytes) => [...bytes!])).toEqual([[1, 2, 3], [], [0, 255]]);
  expect((await readExecutionRequest(store, whole))?.body).toBe("of the whole");
  expect((await readExecutionRequest(store, waiting))?.body).toBe("of the waiting");

  // What was stored is not stored again, and what comes goes on from it.
  const again = { id: whole, attempt: 2, sequence: 2 };
  expect(await ingestReports(store, [event(again)])).toMatchObject({ events: 0 });
  await ingestReports(store, [
    event({ id: waiting, attempt: 2, request: request("another"), logs: [log(1, "ran")] }),
  ]);
  expect((await readExecutionRequest(store, waiting))?.body).toBe("of the waiting");
  const rows = await store.executions
    .selectFrom("executions")
    .select(["id", "status", "hasRequest"])
    .execute();
  expect(new Map(rows.map((row) => [row.id, row]))).toEqual(
    new Map([whole, waiting].map((id) => [id, { id, status: "SUCCEEDED", hasRequest: 1 }])),
  );
});

describe("the quick check of a reported event", () => {
  const good = event({
    request: request("b"),
    logs: [log(1, "a")],
    steps: [step(2, "r")],
    sections: [{ sectionId: "s", label: "l", startedAtMs: 1 }],
  });
  const values = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      undefined,
      "",
      "x",
      -1,
      0,
      1.5,
      2 ** 60,
      true,
      false,
      [],
      {},
      "FLOW",
      "x".repeat(101),
    ),
    fc.jsonValue(),
  );

  /** All paths to values inside. */
  const pathsIn = (value: unknown, path: (string | number)[] = []): (string | number)[][] =>
    typeof value === "object" && value !== null
      ? [
          path,
          ...Object.entries(value).flatMap(([key, inner]) =>
            pathsIn(inner, [...path, Array.isArray(value) ? Number(key) : key]),
          ),
        ]
      : [path];

  const changed = (whole: unknown, path: (string | number)[], value: unknown): unknown => {
    const [key, ...rest] = path;
    if (key === undefined) return value;
    const copy = structuredClone(whole) as Record<string | number, unknown>;
    copy[key] = changed(copy[key], rest, value);
    return copy;
  };

  test("lets through what is right, and nothing that the whole check refuses or would change", () => {
    expect(isExecutionEvent(good)).toBe(true);
    const paths = pathsIn(good);
    let refused = 0;
    fc.assert(
      fc.property(fc.constantFrom(...paths), values, (path, value) => {
        const candidate = changed(good, path, value);
        const checked = eventShape.safeParse(candidate);
        if (!checked.success) refused += 1;
        if (isExecutionEvent(candidate)) {
          expect(checked.success).toBe(true);
          expect(checked.data).toEqual(candidate);
        }
      }),
      { numRuns: 3000 },
    );
    expect(refused).toBeGreaterThan(500);
    // One value at a time: where it is right, the quick check sees it, too.
    for (const path of paths.slice(1)) {
      const same = changed(
        good,
        path,
        path.reduce<unknown>((at, key) => (at as never)[key], good),
      );
      expect(isExecutionEvent(same)).toBe(true);
    }
  });

  test("leaves a request with unknown fields to the whole check, which drops them", () => {
    const extra = { ...good, request: { ...good.request!, extra: "field" } };
    expect(isExecutionEvent(extra)).toBe(false);
    expect(eventShape.parse(extra)).toEqual(good);
  });
});
