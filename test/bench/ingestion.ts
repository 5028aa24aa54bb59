/**
 * `node test/bench/ingestion.ts`: events a second that a real control plane process stores through its HTTP API,
 * in batches of 1, 10, 100 and 500, beside bare prepared inserts of the same rows into SQLite in this process
 * (synced at each batch, as the control plane syncs). Each event is a whole execution: request, log lines, steps,
 * end; they are of 100,000 instances at random. The rounds take turns. CPU is the control plane process's own, user and system, by an event.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { encode } from "@msgpack/msgpack";
import { executionMigrations } from "../../control-plane/store/migrations.ts";
import { newId } from "../../shared/ids.ts";
import type { ExecutionEvent } from "../../shared/reports.ts";
import { spawnPlane } from "../../shared/scripts/planeProcess.ts";
import { migrate, openSqlite, type Sqlite } from "../../shared/sqlite.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";

const batchSizes = [1, 10, 100, 500];
const rounds = 3;
const roundMs = 1500;
/** Batches on their way at once: while the control plane syncs one, the next one is sent. */
const inFlight = 2;

const owners = Array.from({ length: 100_000 }, () => ({
  instanceId: newId(),
  customerId: newId(),
  flowConfigId: newId(),
}));
const anyOwner = () => owners[Math.floor(Math.random() * owners.length)]!;

/** Stand for what differs from one execution to the next. */
const varying = {
  id: "the-id-of-the-execution-stands-here-",
  startedAtMs: 1_111_111_111_111,
  instanceId: "the-id-of-the-instance-stands-here--",
  customerId: "the-id-of-the-customer-stands-here--",
  flowConfigId: "the-id-of-the-flowconfig-stands-here",
};

/** As the data plane reports a no-op flow: one event with all of it. */
function wholeExecution(): ExecutionEvent {
  const now = Date.now();
  const body = JSON.stringify({
    topic: "inventory.updated",
    lines: Array.from({ length: 12 }, (_, line) => ({ sku: `ACME-${1000 + line}`, quantity: line * 7 })),
    warehouse: "w-17",
  });
  const step = (sequence: number, stepName: string, data: unknown) => ({
    part: "FLOW" as const,
    sequence,
    stepName,
    stepStableKey: stepName,
    startedAtMs: now,
    endedAtMs: now + 1,
    error: null,
    results: Buffer.from(encode({ data, contentType: "application/json" })).toString("base64"),
    isTruncated: false,
  });
  const log = (sequence: number, message: string, stepName: string | null) => ({
    part: "FLOW" as const,
    sequence,
    atMs: now,
    severity: "INFO" as const,
    message,
    stepName,
    sectionId: null,
  });
  return {
    kind: "execution",
    id: varying.id,
    attempt: 1,
    sequence: 1,
    invokeType: "WEBHOOK",
    startedAtMs: varying.startedAtMs,
    isDebug: false,
    target: {
      integrationId: newId(),
      versionId: newId(),
      versionNumber: 3,
      instanceId: varying.instanceId,
      customerId: varying.customerId,
      customerUserId: null,
      flowId: newId(),
      flowConfigId: varying.flowConfigId,
      flowStableKey: "update-inventory",
      flowName: "Update Inventory",
      preprocessFlowName: null,
    },
    request: {
      method: "POST",
      pathFragment: "",
      query: "",
      headers: [
        ["host", "127.0.0.1:4001"],
        ["user-agent", "acme-erp/7.2 (webhooks)"],
        ["content-type", "application/json"],
        ["content-length", String(body.length)],
        ["accept", "*/*"],
        ["x-acme-delivery", newId()],
        ["x-acme-signature", "sha256=5f2d0a7c5a3a4f1e9b8d7c6b5a49382716051423324150697887a6b5c4d3e2f1"],
        ["connection", "keep-alive"],
      ],
      body: Buffer.from(body).toString("base64"),
      keyHmacs: ["mJq3pNn0cUqLr8y6l0J2xv0V6lWQ9o3sP4Yc0mJQk7E"],
      remoteAddress: "127.0.0.1",
      receivedAtMs: now,
      requestId: newId(),
      token: "Zk3vQ0m2Yt8bF1xWn5sLr7uKc9A",
    },
    replayOf: null,
    invokedBy: null,
    steps: [
      step(2, "Trigger", { headers: {}, body: { data: JSON.parse(body) } }),
      step(4, "Work", { ok: true }),
    ],
    logs: [
      log(1, "Starting execution of Update Inventory", null),
      log(3, "Inventory of 12 articles was updated", "Work"),
      log(5, "Ending execution", null),
    ],
    sections: [],
    finish: { status: "SUCCEEDED", endedAtMs: now + 2, errorCode: null, error: null, answerStatus: 200 },
  };
}

const template = JSON.stringify(wholeExecution());
const names = new RegExp(Object.values(varying).join("|"), "g");

function eventText(): string {
  const { instanceId, customerId, flowConfigId } = anyOwner();
  const values = new Map([
    [varying.id, newId()],
    [String(varying.startedAtMs), String(Date.now())],
    [varying.instanceId, instanceId],
    [varying.customerId, customerId],
    [varying.flowConfigId, flowConfigId],
  ]);
  return template.replace(names, (name) => values.get(name)!);
}

interface Target {
  url: string;
  token: string;
}

const query = `mutation reportEvents($input: ReportEventsInput!) {
  reportEvents(input: $input) { confirmed errors { field messages } }
}`;

async function report({ url, token }: Target, count: number): Promise<void> {
  const events = Array.from({ length: count }, eventText).join(",");
  const body = `{"query":${JSON.stringify(query)},"variables":{"input":{"dataPlaneId":"bench","events":[${events}]}}}`;
  const answer = await fetch(`${url}/api`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json",
    },
    body,
  });
  const { data, errors } = (await answer.json()) as {
    data?: { reportEvents: { confirmed: string[]; errors: unknown[] } };
    errors?: { message: string }[];
  };
  if (data?.reportEvents.confirmed.length !== count) {
    throw new Error(`Not stored: ${JSON.stringify(errors ?? data?.reportEvents.errors).slice(0, 500)}`);
  }
}

async function overHttp(target: Target, batch: number, forMs: number): Promise<number> {
  const untilMs = performance.now() + forMs;
  let stored = 0;
  const sender = async () => {
    while (performance.now() < untilMs) {
      await report(target, batch);
      stored += batch;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, sender));
  return stored;
}

/** The rows that one event makes, as the control plane has stored them, and statements that store them again. */
function bareInserts(database: Sqlite, sample: Sqlite): (batch: number) => void {
  const { id } = sample.prepare("SELECT id FROM executions LIMIT 1").get() as { id: string };
  const inserts = ["executions", "executionEvents"].flatMap((table) => {
    const key = table === "executions" ? "id" : "executionId";
    const rows = sample.prepare(`SELECT * FROM ${table} WHERE ${key} = ?`).all(id) as Record<
      string,
      unknown
    >[];
    return rows.map((row) => {
      const columns = Object.keys(row);
      const statement = database.prepare(
        `INSERT INTO ${table} VALUES (${columns.map((name) => `@${name}`).join(", ")})`,
      );
      return { statement, row, key };
    });
  });
  let count = 0;
  return database.transaction((batch: number) => {
    for (let event = 0; event < batch; event++) {
      const next = newId();
      const owner = anyOwner();
      // As many in a bucket as the control plane puts into one.
      const bucketAtMs = Math.floor(count++ / 4096);
      for (const { statement, row, key } of inserts) {
        statement.run({ ...row, ...owner, startedAtMs: Date.now(), bucketAtMs, [key]: next });
      }
    }
  });
}

function bare(insert: (batch: number) => void, batch: number, forMs: number): number {
  const untilMs = performance.now() + forMs;
  let stored = 0;
  while (performance.now() < untilMs) {
    insert(batch);
    stored += batch;
  }
  return stored;
}

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** Seconds of CPU that a process has used so far. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const shown = (value: number): string => Math.round(value).toLocaleString("en").padStart(12);

const dataDir = newTemporaryFolder();
const plane = spawnPlane("control-plane", {
  environment: {
    SWITCHYARD_DATA_DIR: dataDir,
    SWITCHYARD_CONTROL_PORT: "0",
    SWITCHYARD_DATA_PLANE_TOKEN: "token-of-the-bench",
    SWITCHYARD_LOG_LEVEL: "warn",
  },
});
try {
  await plane.listening;
  const target = { url: plane.url, token: "token-of-the-bench" };
  await overHttp(target, 100, 1000);

  const bareFile = join(dataDir, "bare.db");
  const bareDatabase = openSqlite(bareFile, { synchronous: "full", cacheMb: 32, pageBytes: 8192 });
  migrate(bareDatabase, executionMigrations);
  const sample = openSqlite(join(dataDir, "control", "executions.db"), { synchronous: "full" });
  const insert = bareInserts(bareDatabase, sample);
  sample.close();

  const rows = batchSizes.map((batch) => ({
    batch,
    http: [] as number[],
    cpuMicros: [] as number[],
    bare: [] as number[],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const { batch, http, cpuMicros, bare: bareRates } of rows) {
      const startMs = performance.now();
      const startCpu = cpuSeconds(plane.child.pid!);
      const stored = await overHttp(target, batch, roundMs);
      http.push((stored * 1000) / (performance.now() - startMs));
      cpuMicros.push(((cpuSeconds(plane.child.pid!) - startCpu) * 1e6) / stored);
      const bareStartMs = performance.now();
      const inserted = bare(insert, batch, roundMs / 2);
      bareRates.push((inserted * 1000) / (performance.now() - bareStartMs));
    }
  }
  bareDatabase.close();

  console.log(
    `Node ${process.version}, ${cpus()[0]?.model ?? "unknown CPU"} × ${cpus().length}, ${rounds} rounds of ${roundMs} ms, ${Buffer.byteLength(eventText())} bytes an event, ${inFlight} requests at once\n`,
  );
  console.log(
    "events a request  events/s by HTTP       least        most   CPU µs/event   bare events/s   ratio",
  );
  for (const { batch, http, cpuMicros, bare: bareRates } of rows) {
    const [overApi, alone] = [median(http), median(bareRates)];
    console.log(
      `${String(batch).padStart(16)}${shown(overApi).padStart(18)}${shown(Math.min(...http))}${shown(Math.max(...http))}${median(cpuMicros).toFixed(1).padStart(15)}${shown(alone).padStart(16)}${(overApi / alone).toFixed(2).padStart(8)}`,
    );
  }
} finally {
  await plane.stop(10_000);
  removeFolder(dataDir);
}
