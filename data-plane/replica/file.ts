/** A file of the replica: its tables, its name, and what tells a good one from a damaged one. */
import { readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { FeedEntityKind } from "../../shared/feed.ts";
import { migrate, openSqlite, openSqliteBuilder, type Sqlite } from "../../shared/sqlite.ts";

/** Kinds as they are stored. */
export const kindNumber: Record<FeedEntityKind, number> = {
  settings: 0,
  definition: 1,
  integration: 2,
  instance: 3,
};

/** `tokens.flow` of a token that is no flow's; a flow's is its place in the instance's head. */
export const instanceToken = -1;
export const integrationToken = -2;

/**
 * `entities` and `secrets` hold what is now, `superseded` and `supersededSecrets` what an unfinished webhook may
 * still be pinned to. Heads and definitions are counted by the rows that name them, so that they go with the last.
 */
export const replicaMigrations: readonly string[] = [
  `
  CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL, version INTEGER NOT NULL);
  INSERT INTO position VALUES (1, '', 0);
  CREATE TABLE entities (
    kind INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
  ) WITHOUT ROWID;
  CREATE TABLE secrets (
    kind INTEGER NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (kind, id)
  ) WITHOUT ROWID;
  CREATE TABLE superseded (
    kind INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL, checksum INTEGER NOT NULL,
    supersededAtMs INTEGER NOT NULL, secrets TEXT NOT NULL, secretsChecksum INTEGER NOT NULL, PRIMARY KEY (kind, id, version)
  ) WITHOUT ROWID;
  CREATE INDEX supersededByTime ON superseded (supersededAtMs);
  CREATE TABLE heads (head INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL UNIQUE, uses INTEGER NOT NULL, checksum INTEGER NOT NULL);
  CREATE INDEX unusedHeads ON heads (head) WHERE uses <= 0;
  CREATE TABLE definitionUses (digest TEXT PRIMARY KEY, uses INTEGER NOT NULL, changedAtMs INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX unusedDefinitions ON definitionUses (changedAtMs) WHERE uses <= 0;
  CREATE TABLE tokens (token TEXT PRIMARY KEY, ownerId TEXT NOT NULL, head INTEGER NOT NULL, flow INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE customerInstances (
    integrationId TEXT NOT NULL, externalId TEXT NOT NULL, instanceId TEXT NOT NULL, PRIMARY KEY (integrationId, externalId, instanceId)
  ) WITHOUT ROWID;
  CREATE TABLE masterKeys (sealedStart TEXT PRIMARY KEY) WITHOUT ROWID;
  `,
];

/** What was read is not what was written. The reader has told `onDamaged`; a snapshot is on its way. */
export class ReplicaDamagedError extends Error {
  override name = "ReplicaDamagedError";
}

/** Whether an error says that the file, not the program, is broken. */
export function isDamage(error: unknown): boolean {
  if (error instanceof ReplicaDamagedError) return true;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^SQLITE_(CORRUPT|NOTADB|IOERR)/.test(code);
}

const namePattern = /^replica-(\d+)\.db$/;
const buildingPattern = /^building-/;
const damagedPattern = /^damaged-/;
const damagedMax = 2;
const buildingCacheMb = 32;
/** A larger file is not read through at the start: half a gigabyte would take two seconds. */
const fullCheckBytesMax = 32 * 1024 * 1024;
const sampledRows = 500;

export const replicaFile = (folder: string, generation: number): string =>
  join(folder, `replica-${generation}.db`);

export const buildingFile = (folder: string, generation: number): string =>
  join(folder, `building-${generation}.db`);

/** The generations that have a file, the newest first. */
export function generationsIn(folder: string): number[] {
  return readdirSync(folder)
    .flatMap((name) => namePattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a);
}

export function removeFile(file: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(file + suffix, { force: true });
}

/** What a snapshot left that never came to its end. */
export function removeBuilding(folder: string): void {
  for (const name of readdirSync(folder)) if (buildingPattern.test(name)) rmSync(join(folder, name));
}

/** Kept for whoever wants to know what happened to it: the latest two. */
export function keepAside(folder: string, generation: number): void {
  const file = replicaFile(folder, generation);
  renameSync(file, join(folder, `damaged-replica-${generation}.db`));
  removeFile(file);
  const kept = readdirSync(folder)
    .filter((name) => damagedPattern.test(name))
    .sort()
    .reverse();
  for (const name of kept.slice(damagedMax)) rmSync(join(folder, name));
}

/** Opens a generation's file for the writer. Throws where it is damaged. */
export function openForWriting(file: string, migrations: readonly string[] = replicaMigrations): Sqlite {
  const database = openSqlite(file, { synchronous: "full", cacheMb: 8 });
  try {
    migrate(database, migrations);
    check(database, file);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A file that nobody reads yet; what a crash leaves of it is removed by the next start. */
export function openForBuilding(file: string): Sqlite {
  removeFile(file);
  const database = openSqliteBuilder(file, buildingCacheMb);
  migrate(database, replicaMigrations);
  return database;
}

/**
 * A small file is read through. Of a large one: whether all its pages are there, and rows picked over its whole
 * length; what that misses is found when it is read, by SQLite or by the row's checksum.
 */
function check(database: Sqlite, file: string): void {
  const pages = database.pragma("page_count", { simple: true }) as number;
  const pageBytes = database.pragma("page_size", { simple: true }) as number;
  if (pages * pageBytes <= fullCheckBytesMax) {
    const found = database.pragma("quick_check(1)", { simple: true });
    if (found !== "ok") throw new ReplicaDamagedError(String(found));
    return;
  }
  const walBytes = statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  if (statSync(file).size + walBytes < pages * pageBytes)
    throw new ReplicaDamagedError("the file is shorter than it says");
  const sample = (table: string, column: string, where: string) => {
    const find = database.prepare(
      `SELECT * FROM ${table} WHERE ${where} ${column} >= ? ORDER BY ${column} LIMIT 1`,
    );
    for (let at = 0; at < sampledRows; at++) find.get(String.fromCharCode(...randomStart()));
  };
  sample("tokens", "token", "");
  sample("entities", "id", `kind = ${kindNumber.instance} AND`);
}

/** Three characters that tokens and ids start with. */
const randomStart = (): number[] =>
  Array.from({ length: 3 }, () => "0123456789abcdefghijklmnopqrstuvwxyz".charCodeAt(Math.random() * 36));
