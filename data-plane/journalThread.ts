/**
 * The journal's own thread: each message is a batch, each batch one transaction, synced before the reply.
 * Bodies above 256 KB lie beside the database, in files named by their digest.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../shared/errors.ts";
import type { ReportEvent } from "../shared/reports.ts";
import { sealedPrefix, sha256Hex, unmarkedPrefix } from "../shared/secrets.ts";
import { migrate, openSqlite, type Sqlite } from "../shared/sqlite.ts";
import type {
  Entry,
  JournalBatch,
  JournalOperation,
  JournalReply,
  RecoveredEntry,
  StoredReport,
} from "./journal.ts";

const inlineBodyBytesMax = 256 * 1024;

const migrations = [
  `
  CREATE TABLE entries (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    -- 0: waits to be claimed after a restart; 1: with the process; 2: its code runs; 3: ended, its events wait
    state INTEGER NOT NULL,
    attempt INTEGER NOT NULL, crashes INTEGER NOT NULL DEFAULT 0, definitionPin TEXT NOT NULL, instancePin TEXT,
    integrationPin TEXT NOT NULL, json TEXT NOT NULL, body BLOB, bodyDigest TEXT, bytes INTEGER NOT NULL
  );
  CREATE INDEX entriesByState ON entries (state, crashes, position);
  CREATE INDEX entriesByBody ON entries (bodyDigest) WHERE bodyDigest IS NOT NULL;
  CREATE TABLE pins (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE reports (
    position INTEGER PRIMARY KEY AUTOINCREMENT, entryId TEXT NOT NULL, isEnd INTEGER NOT NULL, json TEXT NOT NULL, bytes INTEGER NOT NULL
  );
  CREATE INDEX reportsByEntry ON reports (entryId);
  CREATE TABLE totals (one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
  INSERT INTO totals VALUES (1, 0, 0);
  `,
];

const port = parentPort!;
const { folder } = workerData as { folder: string };
const bodiesFolder = join(folder, "bodies");

try {
  const database = openSqlite(join(folder, "journal.db"), { synchronous: "full", cacheMb: 32 });
  mkdirSync(bodiesFolder, { recursive: true, mode: 0o700 });
  migrate(database, migrations);
  recover(database);
  serve(database);
} catch (error) {
  port.postMessage({ openError: messageOf(error) });
}

/** What a process that is gone had in hand waits again; what was running counts against it. */
function recover(database: Sqlite): void {
  database.transaction(() => {
    database.exec("UPDATE entries SET crashes = crashes + 1 WHERE state = 2");
    database.exec("UPDATE entries SET state = 0, attempt = attempt + 1 WHERE state IN (1, 2)");
  })();
  const used = new Set(
    database
      .prepare<[], { bodyDigest: string }>("SELECT bodyDigest FROM entries WHERE bodyDigest IS NOT NULL")
      .all()
      .map((row) => row.bodyDigest),
  );
  for (const name of readdirSync(bodiesFolder)) {
    if (!used.has(name)) unlinkSync(join(bodiesFolder, name));
  }
}

interface EntryRow {
  id: string;
  attempt: number;
  crashes: number;
  definitionPin: string;
  instancePin: string | null;
  integrationPin: string;
  json: string;
  body: Buffer | null;
  bodyDigest: string | null;
}

interface ReportRow {
  position: number;
  entryId: string;
  json: string;
  bytes: number;
}

function serve(database: Sqlite): void {
  const statements = {
    insertEntry: database.prepare(
      `INSERT OR IGNORE INTO entries (id, state, attempt, definitionPin, instancePin, integrationPin, json, body, bodyDigest, bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    insertPin: database.prepare("INSERT OR IGNORE INTO pins (key, json) VALUES (?, ?)"),
    markRunning: database.prepare("UPDATE entries SET state = 2 WHERE id = ? AND state = 1"),
    markEnded: database.prepare("UPDATE entries SET state = 3 WHERE id = ?"),
    insertReport: database.prepare("INSERT INTO reports (entryId, isEnd, json, bytes) VALUES (?, ?, ?, ?)"),
    claim: database.prepare<[number], EntryRow>(
      "SELECT * FROM entries WHERE state = 0 ORDER BY crashes, position LIMIT ?",
    ),
    markClaimed: database.prepare("UPDATE entries SET state = 1 WHERE id = ?"),
    readPin: database.prepare<[string], { json: string }>("SELECT json FROM pins WHERE key = ?"),
    readReports: database.prepare<[number], ReportRow>(
      "SELECT position, entryId, json, bytes FROM reports WHERE position > ? ORDER BY position",
    ),
    readReport: database.prepare<[number], { entryId: string; isEnd: number; bytes: number }>(
      "SELECT entryId, isEnd, bytes FROM reports WHERE position = ?",
    ),
    readEntry: database.prepare<[string], EntryRow>("SELECT * FROM entries WHERE id = ?"),
    deleteReport: database.prepare("DELETE FROM reports WHERE position = ?"),
    deleteEntry: database.prepare<[string], { bytes: number; bodyDigest: string | null }>(
      "DELETE FROM entries WHERE id = ? RETURNING bytes, bodyDigest",
    ),
    usesBody: database.prepare<[string], { one: number }>(
      "SELECT 1 AS one FROM entries WHERE bodyDigest = ? LIMIT 1",
    ),
    prunePins: database.prepare(
      `DELETE FROM pins WHERE key NOT IN (
         SELECT definitionPin FROM entries UNION SELECT integrationPin FROM entries UNION SELECT instancePin FROM entries WHERE instancePin IS NOT NULL
       )`,
    ),
    needsSealed: database.prepare<{ sealed: string }, { one: number }>(
      `SELECT 1 AS one FROM pins WHERE instr(json, @sealed) > 0 AND key IN (
         SELECT integrationPin FROM entries WHERE state < 3
         UNION SELECT instancePin FROM entries WHERE state < 3 AND instancePin IS NOT NULL
       ) LIMIT 1`,
    ),
    readTotals: database.prepare<[], { entries: number; bytes: number }>("SELECT entries, bytes FROM totals"),
    writeTotals: database.prepare("UPDATE totals SET entries = ?, bytes = ?"),
  };
  let totals = statements.readTotals.get()!;
  let releasedBodies: string[] = [];

  const perform = (operation: JournalOperation): unknown => {
    switch (operation.type) {
      case "append":
        return append(operation);
      case "markRunning":
        statements.markRunning.run(operation.id);
        return;
      case "report":
        return report(operation.event, operation.isEnd);
      case "claim":
        return claim(operation.most);
      case "reports":
        return readReports(operation.after, operation.most, operation.bytesMax);
      case "confirm":
        for (const position of operation.positions) confirm(position);
        return;
      case "sealedUnder":
        return sealedUnder(operation.fingerprints);
      case "prunePins":
        statements.prunePins.run();
        return;
      case "close":
        return;
    }
  };

  const append = ({ entry, pins, bytes, isHeld }: Extract<JournalOperation, { type: "append" }>) => {
    for (const pin of pins) statements.insertPin.run(pin.key, pin.json);
    const { body, ...rest } = entry;
    const isBeside = body !== null && body.byteLength > inlineBodyBytesMax;
    const bodyDigest = isBeside ? storeBody(body) : null;
    const inline = body === null || isBeside ? null : body;
    const { definitionPin, instancePin, integrationPin } = entry.route;
    const state = isHeld ? 0 : 1;
    const { changes } = statements.insertEntry.run(
      entry.id,
      state,
      entry.attempt,
      definitionPin,
      instancePin,
      integrationPin,
      JSON.stringify(rest),
      inline,
      bodyDigest,
      bytes,
    );
    if (changes === 0) return false;
    totals = { entries: totals.entries + 1, bytes: totals.bytes + bytes };
    return true;
  };

  const report = (event: ReportEvent, isEnd: boolean) => {
    const json = JSON.stringify(event);
    statements.insertReport.run(event.id, isEnd ? 1 : 0, json, json.length);
    if (isEnd) statements.markEnded.run(event.id);
    totals = { ...totals, bytes: totals.bytes + json.length };
  };

  const claim = (most: number): RecoveredEntry[] =>
    statements.claim.all(most).map((row) => {
      statements.markClaimed.run(row.id);
      const pins: Record<string, string> = {};
      for (const key of [row.definitionPin, row.integrationPin, row.instancePin]) {
        if (key !== null) pins[key] = statements.readPin.get(key)?.json ?? "null";
      }
      return { entry: { ...entryOf(row), isSuspect: row.attempt > 1 }, pins, crashes: row.crashes };
    });

  const readReports = (after: number, most: number, bytesMax: number): StoredReport[] => {
    const found: StoredReport[] = [];
    let bytes = 0;
    for (const row of statements.readReports.iterate(after)) {
      const event = JSON.parse(row.json) as ReportEvent;
      let weight = row.bytes;
      if (event.kind === "execution" && event.sequence === 1 && event.request === null) {
        const entryRow = statements.readEntry.get(row.entryId);
        if (entryRow !== undefined) {
          const { request, body } = entryOf(entryRow);
          event.request = { ...request, body: body === null ? null : Buffer.from(body).toString("base64") };
          weight += event.request.body?.length ?? 0;
        }
      }
      if (found.length > 0 && bytes + weight > bytesMax) break;
      bytes += weight;
      found.push({ position: row.position, event });
      if (found.length >= most) break;
    }
    return found;
  };

  const confirm = (position: number) => {
    const row = statements.readReport.get(position);
    if (row === undefined) return;
    statements.deleteReport.run(position);
    totals = { ...totals, bytes: totals.bytes - row.bytes };
    if (row.isEnd === 0) return;
    const entry = statements.deleteEntry.get(row.entryId);
    if (entry === undefined) return;
    totals = { entries: totals.entries - 1, bytes: totals.bytes - entry.bytes };
    if (entry.bodyDigest !== null) releasedBodies.push(entry.bodyDigest);
  };

  /** Pins are JSON: what is sealed stands in them as a text that starts so. */
  const sealedUnder = (fingerprints: string[]): string[] => {
    const isNeeded = (sealed: string) => statements.needsSealed.get({ sealed }) !== undefined;
    const isUnmarkedNeeded = ["sealed", "sealedConfigVars"].some((field) =>
      isNeeded(`"${field}":"${unmarkedPrefix}`),
    );
    return fingerprints.filter(
      (fingerprint) => isUnmarkedNeeded || isNeeded(`":"${sealedPrefix(fingerprint)}`),
    );
  };

  const performBatch = database.transaction((operations: JournalOperation[]) => {
    const results = operations.map(perform);
    statements.writeTotals.run(totals.entries, totals.bytes);
    return results;
  });

  port.on("message", (batch: JournalBatch) => {
    const before = totals;
    releasedBodies = [];
    let reply: JournalReply;
    try {
      const results = performBatch.immediate(batch.operations);
      for (const digest of releasedBodies) {
        // The same body may have come again in the same batch.
        if (statements.usesBody.get(digest) === undefined) unlinkSync(join(bodiesFolder, digest));
      }
      reply = { results, ...totals };
    } catch (error) {
      totals = before;
      const code = (error as { code?: string }).code ?? "";
      reply = { error: messageOf(error), isFull: /FULL|NOSPC|IOERR|READONLY|CANTOPEN|EIO|EDQUOT/.test(code) };
    }
    port.postMessage(reply);
    if (batch.operations.some(({ type }) => type === "close")) {
      database.close();
      process.exit(0);
    }
  });
  port.postMessage(totals);
}

function entryOf(row: EntryRow): Entry {
  const rest = JSON.parse(row.json) as Omit<Entry, "body">;
  const body = row.bodyDigest === null ? row.body : readFileSync(join(bodiesFolder, row.bodyDigest));
  return { ...rest, attempt: row.attempt, body };
}

/** Written, synced and renamed before the row that names it is committed. */
function storeBody(body: Uint8Array): string {
  const digest = sha256Hex(body);
  const file = join(bodiesFolder, digest);
  if (existsSync(file)) return digest;
  const partial = `${file}.partial`;
  const descriptor = openSync(partial, "w", 0o600);
  try {
    for (let at = 0; at < body.byteLength; ) at += writeSync(descriptor, body, at);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(partial, file);
  syncFolder(bodiesFolder);
  return digest;
}

function syncFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
