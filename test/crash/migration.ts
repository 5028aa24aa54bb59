/**
 * Kills the control plane again and again while it brings an earlier release's data folder to its own schema, or
 * makes a new one; then everything that was in the folder must be there, and it must serve.
 */
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { endedExecution } from "../support/executionRecord.ts";
import { graphql } from "../support/graphql.ts";
import { preparePlanes, type TestPlanes } from "../support/planes.ts";
import { deployTo, publishYamlFixture } from "../support/publishAndDeploy.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import type { RoundReport } from "./rounds.ts";
import { killAtStart } from "./victims.ts";

export interface MigrationOptions {
  rounds: number;
  seed: number;
  timeoutMs: number;
  onRound?(round: Omit<RoundReport, "victim"> & { victim: "migration" }): void;
}

/** The key that the earlier release's folder is sealed under. */
const masterKey = "07".repeat(32);
const dumps = join(import.meta.dirname, "earlierRelease");
/** So many more of each execution, so that a migration of them takes a while. */
const copiesOfEach = 400;

export async function migrationRounds(options: MigrationOptions): Promise<{ faults: string[] }> {
  const folder = newTemporaryFolder();
  try {
    const earlier = earlierFolder(join(folder, "earlier"));
    const deadlineMs = Date.now() + options.timeoutMs;
    const startMs = await measureStart(earlier, join(folder, "measured"));
    let seed = options.seed;
    for (let number = 1; number <= options.rounds && Date.now() < deadlineMs; number++) {
      const random = seededRandom(seed);
      const dataDir = join(folder, `round-${number}`);
      // Every fourth one begins with nothing: the first start is a migration, too.
      const found = await migrationRound(number % 4 === 0 ? null : earlier, dataDir, random, startMs);
      options.onRound?.({ number, victim: "migration", seed, reruns: 0, ...found });
      if (found.faults.length > 0)
        return { faults: found.faults.map((fault) => `migration, seed ${seed}: ${fault}`) };
      removeFolder(dataDir);
      seed = random.whole(1, 2 ** 31);
    }
    return { faults: [] };
  } finally {
    removeFolder(folder);
  }
}

/** How long a start takes here and now that has the earlier release's folder to migrate. */
async function measureStart(earlier: EarlierFolder, dataDir: string): Promise<number> {
  const planes = await prepare(earlier, dataDir);
  const beganMs = performance.now();
  try {
    await planes.control.start();
    return performance.now() - beganMs;
  } finally {
    await planes.control.kill();
  }
}

function prepare(earlier: EarlierFolder | null, dataDir: string): Promise<TestPlanes> {
  const control = join(dataDir, "control");
  mkdirSync(control, { recursive: true });
  for (const file of earlier?.files ?? []) copyFileSync(join(earlier!.folder, file), join(control, file));
  return preparePlanes({ dataDir, environment: { SWITCHYARD_MASTER_KEY: masterKey } });
}

async function migrationRound(
  earlier: EarlierFolder | null,
  dataDir: string,
  random: Random,
  startMs: number,
) {
  const planes = await prepare(earlier, dataDir);
  try {
    for (let deaths = random.whole(3, 5); deaths > 0; deaths--) {
      await killAtStart(planes.control, startMs * (0.35 + 0.65 * random.next()));
    }
    await planes.control.start();
    const faults = await (earlier === null ? faultsOfNew(planes) : faultsOfEarlier(planes, earlier));
    const executions = earlier?.executions.length ?? 0;
    return { promised: executions, recorded: executions, faults };
  } finally {
    await Promise.all([planes.data.kill(), planes.control.kill()]);
  }
}

async function faultsOfEarlier(planes: TestPlanes, earlier: EarlierFolder): Promise<string[]> {
  const faults: string[] = [];
  const { executionResults, rejections, customers } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `{ executionResults: integrations { nodes { id } }
       rejections { totalCount } customers(isSystem: false) { nodes { externalId } } }`,
  );
  const integration = executionResults.nodes[0]?.id;
  const { executionResults: counted } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `query ($integration: ID!) { executionResults(integration: $integration) { totalCount } }`,
    { integration },
  );
  const expectSame = (what: string, is: unknown, was: unknown) => {
    if (JSON.stringify(is) !== JSON.stringify(was))
      faults.push(`${what}: ${JSON.stringify(is)}, was ${JSON.stringify(was)}`);
  };
  expectSame("executions", counted.totalCount, earlier.executions.length);
  expectSame("rejections", rejections.totalCount, earlier.rejections);
  expectSame("customers", customers.nodes.map((node: { externalId: string }) => node.externalId).sort(), [
    "one",
    "two",
  ]);
  const step = Math.ceil(earlier.executions.length / 24);
  for (const was of earlier.executions.filter((_, index) => index % step === 0)) {
    const { executionResult } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($id: ID!) { executionResult(id: $id) {
        status logs { nodes { message } } stepResults { nodes { stepName } } } }`,
      { id: nodeIdOf(was.id) },
    );
    expectSame(`execution ${was.id}`, sorted(executionResult), was.shown);
  }
  await planes.data.start();
  const answer = await sendWebhook(`${planes.data.url}/trigger/${earlier.token}`, {
    body: { kind: "greeting", who: "Grace" },
  });
  expectSame("a webhook's answer", [answer.status, answer.text], [200, '"Good day, Grace"']);
  return faults;
}

/** What was made anew must be whole: it takes an integration, and runs it. */
async function faultsOfNew(planes: TestPlanes): Promise<string[]> {
  await planes.data.start();
  const version = await publishYamlFixture(planes, "low-code");
  const { webhookUrls } = await deployTo(planes, version, "new");
  const answer = await sendWebhook(Object.values(webhookUrls)[0]!, { body: { kind: "count", items: [1] } });
  if (answer.executionId === undefined) return [`a webhook was answered ${answer.status} ${answer.text}`];
  const { status } = await endedExecution(planes, answer.executionId);
  return status === "SUCCEEDED" ? [] : [`an execution ended as ${status}`];
}

interface Shown {
  status: string;
  messages: string[];
  steps: string[];
}

interface EarlierFolder {
  folder: string;
  files: string[];
  executions: { id: string; shown: Shown }[];
  rejections: number;
  /** Of a deployed instance's URL. */
  token: string;
}

const sorted = (record: {
  status: string;
  logs: { nodes: { message: string }[] };
  stepResults: { nodes: { stepName: string }[] };
}): Shown => ({
  status: record.status,
  messages: record.logs.nodes.map(({ message }) => message).sort(),
  steps: record.stepResults.nodes.map(({ stepName }) => stepName).sort(),
});

const nodeIdOf = (id: string): string => Buffer.from(`InstanceExecutionResult:${id}`).toString("base64");

function earlierFolder(folder: string): EarlierFolder {
  mkdirSync(folder, { recursive: true });
  const files = ["config.db", "executions.db"];
  const [config, executions] = files.map((file) => {
    const database = new Database(join(folder, file));
    database.pragma("foreign_keys = OFF");
    database.exec(readFileSync(join(dumps, file.replace(".db", ".sql")), "utf8"));
    return database;
  });
  multiply(executions!);
  const shown: Omit<EarlierFolder, "folder" | "files"> = {
    executions: readExecutions(executions!),
    rejections: executions!.prepare("SELECT count(*) FROM rejections").pluck().get() as number,
    token: config!.prepare("SELECT token FROM instances WHERE isSystem = 0 LIMIT 1").pluck().get() as string,
  };
  config!.close();
  executions!.close();
  return { folder, files, ...shown };
}

/** Copies of all executions under further ids; and all as if they were of the last hour, so that none is pruned. */
function multiply(database: Database.Database): void {
  const copyOf = (column: string) => `substr(${column}, 1, 24) || printf('%012x', copy.n)`;
  const tables = ["executions", "executionEvents", "executionLogs", "executionSections", "executionSteps"];
  for (const table of tables) {
    const columns = database.pragma(`table_info(${table})`) as { name: string }[];
    const id = table === "executions" ? "id" : "executionId";
    const values = columns.map(({ name }) => (name === id ? copyOf(id) : name));
    database.exec(
      `WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ${copiesOfEach})
       INSERT INTO ${table} SELECT ${values.join(", ")} FROM ${table}, copy WHERE length(${id}) = 36`,
    );
  }
  const latestMs = database.prepare("SELECT max(startedAtMs) FROM executions").pluck().get() as number;
  const laterMs = Date.now() - 60_000 - latestMs;
  database.exec(`
    UPDATE executions SET startedAtMs = startedAtMs + ${laterMs}, endedAtMs = endedAtMs + ${laterMs};
    UPDATE executionLogs SET atMs = atMs + ${laterMs};
    UPDATE executionSections SET startedAtMs = startedAtMs + ${laterMs};
    UPDATE executionSteps SET startedAtMs = startedAtMs + ${laterMs}, endedAtMs = endedAtMs + ${laterMs};
    UPDATE rejections SET atMs = atMs + ${laterMs};
  `);
}

function readExecutions(database: Database.Database): EarlierFolder["executions"] {
  const rows = database
    .prepare<[], { id: string; status: string }>("SELECT id, status FROM executions ORDER BY id")
    .all();
  const messages = database.prepare<[string], string>(
    "SELECT message FROM executionLogs WHERE executionId = ?",
  );
  const steps = database.prepare<[string], string>(
    "SELECT stepName FROM executionSteps WHERE executionId = ?",
  );
  return rows.map(({ id, status }) => ({
    id,
    shown: {
      status,
      messages: (messages.pluck().all(id) as string[]).sort(),
      steps: (steps.pluck().all(id) as string[]).sort(),
    },
  }));
}
