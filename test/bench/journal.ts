/**
 * The journal's log beside what it could be: commits and rows a second with 64 records outstanding, in rounds that
 * take turns. Then what a start costs. `node test/bench/journal.ts [folder on a real disk]`
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  write as writeFile,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { newJournalBounds } from "../../data-plane/journal/bounds.ts";
import { openJournal } from "../../data-plane/journal/journal.ts";
import { openLog } from "../../data-plane/journal/log.ts";
import type { NewEntry } from "../../data-plane/journal/records.ts";
import { newId } from "../../shared/ids.ts";
import { openSqlite } from "../../shared/sqlite.ts";

const outstanding = 64;
const rounds = 5;
const roundMs = 500;
const recoveredBytes = 128 * 1024 * 1024;

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), "switchyard-bench-"));
const body = Buffer.alloc(600, "b");
const metaJson = JSON.stringify({ filler: "m".repeat(900) });
const entryOf = (): NewEntry => ({
  id: newId(),
  fairKey: "0198c0de-0000-7000-8000-000000000001",
  generation: 1,
  acceptedAtMs: Date.now(),
  isWaiting: false,
  metaJson,
  body,
});

interface Row {
  name: string;
  /** Runs for `roundMs`. */
  run(): Promise<{ commits: number; rows: number }>;
  results: { commits: number; rows: number; cpuMs: number }[];
}

// Files that are there before: in a data plane they are used again, here the making of new ones would be measured.
const segmentBytes = { least: 192 * 1024 * 1024, most: 192 * 1024 * 1024 };
const ignore = { onSynced: () => {}, onNotice: () => {} };
const log = await openLog({ folder, name: "ingress-0", ...ignore, segmentBytes });
while (!existsSync(join(folder, "ingress-0.1.2.log"))) await sleep(100);

/** Each record that is done begets the next one, so that there are always as many outstanding. */
const runLog = (): Promise<{ commits: number; rows: number }> => {
  const before = log.stats();
  const until = performance.now() + roundMs;
  return new Promise((resolve) => {
    let left = outstanding;
    const next = () =>
      log.appendEntry(entryOf(), (error) => {
        if (error !== null) throw error;
        if (performance.now() < until) next();
        else if (--left === 0) {
          const { commits, rows } = log.stats();
          resolve({ commits: commits - before.commits, rows: rows - before.rows });
        }
      });
    for (let each = 0; each < outstanding; each++) next();
  });
};

const database = openSqlite(join(folder, "entries.db"), { synchronous: "full" });
database.exec("CREATE TABLE entries (position INTEGER PRIMARY KEY, id TEXT UNIQUE, json TEXT, body BLOB)");
const insert = database.prepare("INSERT INTO entries (id, json, body) VALUES (?, ?, ?)");
const insertBatch = database.transaction(() => {
  for (let each = 0; each < outstanding; each++) insert.run(newId(), metaJson, body);
});
const runSqlite = async () => {
  let commits = 0;
  for (const until = performance.now() + roundMs; performance.now() < until; commits++) insertBatch();
  return { commits, rows: commits * outstanding };
};

const plainBytes = 64 * 1024 * 1024;
const plainFlags = constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC;
const plain = openSync(join(folder, "plain"), plainFlags, 0o600);
for (let at = 0; at < plainBytes; at += 1024 * 1024)
  writeSync(plain, Buffer.alloc(1024 * 1024), 0, 1024 * 1024, at);
const bytesOf = (rows: number) => Buffer.alloc(rows * 1700, "x");
const runPlain = (rows: number) => async () => {
  const bytes = bytesOf(rows);
  let commits = 0;
  for (const until = performance.now() + roundMs; performance.now() < until; commits++) {
    const at = (commits * bytes.length) % (plainBytes - bytes.length);
    await new Promise<void>((resolve, reject) =>
      writeFile(plain, bytes, 0, bytes.length, at, (error) => (error === null ? resolve() : reject(error))),
    );
  }
  return { commits, rows: commits * rows };
};

const rows: Row[] = [
  { name: `Log.append, ${outstanding} outstanding`, run: runLog, results: [] },
  { name: `SQLite, transactions of ${outstanding}, FULL`, run: runSqlite, results: [] },
  { name: `bare write, O_DSYNC, of ${outstanding} rows' bytes`, run: runPlain(outstanding), results: [] },
  { name: "bare write, O_DSYNC, of one row's bytes", run: runPlain(1), results: [] },
];
for (let round = 0; round <= rounds; round++) {
  for (const row of rows) {
    const cpu = process.cpuUsage();
    const result = await row.run();
    const used = process.cpuUsage(cpu);
    // The first round warms up.
    if (round > 0) row.results.push({ ...result, cpuMs: (used.user + used.system) / 1000 });
  }
}
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const perSecond = 1000 / roundMs;
console.log("                                              commits/s    rows/s  rows/commit  CPU µs/row");
for (const { name, results } of rows) {
  const commits = median(results.map((one) => one.commits * perSecond));
  const rowsPerSecond = median(results.map((one) => one.rows * perSecond));
  const cpu = median(results.map((one) => (one.cpuMs * 1000) / one.rows));
  console.log(
    `${name.padEnd(44)} ${commits.toFixed(0).padStart(10)} ${rowsPerSecond.toFixed(0).padStart(9)} ${(rowsPerSecond / commits).toFixed(1).padStart(12)} ${cpu.toFixed(1).padStart(11)}`,
  );
}
await log.close();
closeSync(plain);
database.close();
rmSync(folder, { recursive: true });

const recovered = mkdtempSync(join(process.argv[2] ?? tmpdir(), "switchyard-bench-"));
const bounds = newJournalBounds({ entriesMax: 100_000_000, bytesMax: 2 ** 40 });
const logger = pino({ level: "warn" });
let bytes = 0;
const filling = await openLog({
  folder: recovered,
  name: "ingress-0",
  onSynced: () => {},
  onNotice: () => {},
});
while (bytes < recoveredBytes) {
  await new Promise<void>((resolve) => {
    for (let each = 0; each < 1000; each++) filling.appendEntry(entryOf(), () => each === 999 && resolve());
  });
  ({ bytes } = filling.stats());
}
await filling.close();
const startedAt = performance.now();
const journal = await openJournal({ folder: recovered, bounds, onEntry: () => {}, logger });
const tookMs = performance.now() - startedAt;
const { unfinished } = journal.stats();
console.log(
  `start with ${unfinished} entries of ${(bytes / 2 ** 20).toFixed(0)} MB: ${tookMs.toFixed(0)} ms (${((tookMs * 2 ** 30) / bytes).toFixed(0)} ms a GB)`,
);
await journal.close();
rmSync(recovered, { recursive: true });
