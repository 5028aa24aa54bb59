/** What of the replica an unfinished webhook may still be pinned to, and dropping the rest. */
import { openSqliteReader, type Sqlite } from "../../shared/sqlite.ts";
import { decodeHead, headNumberOf } from "./encoding.ts";
import { generationsIn, kindNumber, removeFile, replicaFile } from "./file.ts";

/** What the journal holds unfinished. */
export interface InUse {
  /** When the oldest one was accepted; null where there is none. */
  oldestUnfinishedMs: number | null;
  generations: ReadonlySet<number>;
}

export interface Pruning {
  noteCommitted(): void;
  noteRefreshed(): void;
  /** A newer file takes this one's place. */
  noteReplaced(): void;
  /** The same for the file that took its place. */
  on(database: Sqlite, generation: number): Pruning;
  prune(inUse: InUse): void;
  /** Whether what is kept for unfinished entries is sealed under the master key of this start. */
  isNeeded(sealedStart: string): boolean;
}

/**
 * A webhook that was accepted on a version just before that was superseded may not be in the journal's count
 * yet: it is in the ingress thread's log, and the main thread has yet to read it.
 */
const graceMs = 3_000;
/** At a time, so that the event loop is not held up. */
const rowsMax = 500;
/** Of a stuck webhook's generation nothing is kept for ever: its entry then runs on what is deployed. */
const olderFilesMax = 3;

const pruneEveryMs = 5_000;

/** Prunes from time to time until it is stopped. */
export function startPruning(replica: { prune(inUse: InUse): void }, inUse: () => InUse): { stop(): void } {
  const timer = setInterval(() => replica.prune(inUse()), pruneEveryMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

interface SupersededRow {
  kind: number;
  id: string;
  version: number;
  data: string;
}

export function createPruning(folder: string, database: Sqlite, generation: number): Pruning {
  /** When each older file was replaced; those of an earlier process count from its start. */
  const replacedAtMs = new Map<number, number>();
  const startedAtMs = Date.now();
  return createFor(database, generation);

  function createFor(current: Sqlite, currentGeneration: number): Pruning {
    const statements = prepare(current);
    const startsOfOlder = new Map<number, Set<string>>();
    let unrefreshedSinceMs: number | null = null;

    const dropRow = (row: SupersededRow) => {
      statements.remove.run(row.kind, row.id, row.version);
      let digest: string | undefined;
      if (row.kind === kindNumber.instance) {
        const number = headNumberOf(row.data);
        const head = statements.head.get(number);
        if (head !== undefined) digest = decodeHead(head.data).definitionDigest;
        statements.releaseHead.run(number);
      } else {
        digest = (JSON.parse(row.data) as { shared: { definitionDigest: string } | null }).shared
          ?.definitionDigest;
      }
      if (digest !== undefined) statements.releaseDefinition.run(Date.now(), digest);
    };
    const dropRows = current.transaction((beforeMs: number) => {
      for (const row of statements.superseded.all(beforeMs, rowsMax)) dropRow(row);
      for (const { digest } of statements.unusedDefinitions.all(beforeMs, rowsMax)) {
        statements.removeDefinition.run(kindNumber.definition, digest);
        statements.forgetDefinition.run(digest);
      }
      statements.removeHeads.run();
    });

    const olderFiles = () => generationsIn(folder).filter((other) => other < currentGeneration);

    const pruneFiles = (inUse: InUse) => {
      olderFiles().forEach((other, place) => {
        const isYoung = (replacedAtMs.get(other) ?? startedAtMs) > Date.now() - graceMs;
        const isKept = isYoung || inUse.generations.has(other);
        if (isKept && place < olderFilesMax) return;
        removeFile(replicaFile(folder, other));
        startsOfOlder.delete(other);
      });
    };

    /** Everything that was ever sealed in it counts: its file does not change any more. */
    const startsOf = (other: number): Set<string> => {
      let starts = startsOfOlder.get(other);
      if (starts === undefined) {
        starts = readStarts(replicaFile(folder, other));
        startsOfOlder.set(other, starts);
      }
      return starts;
    };

    return {
      noteCommitted() {
        unrefreshedSinceMs ??= Date.now();
      },
      noteRefreshed() {
        unrefreshedSinceMs = null;
      },
      noteReplaced() {
        replacedAtMs.set(currentGeneration, Date.now());
      },
      on: createFor,
      prune(inUse) {
        const { oldestUnfinishedMs } = inUse;
        const untilMs = Math.min(
          Date.now(),
          oldestUnfinishedMs ?? Number.POSITIVE_INFINITY,
          unrefreshedSinceMs ?? Number.POSITIVE_INFINITY,
        );
        const beforeMs = untilMs - graceMs;
        if (statements.hasWork.get({ beforeMs }) !== undefined) dropRows.immediate(beforeMs);
        pruneFiles(inUse);
      },
      isNeeded: (sealedStart) =>
        statements.sealed.get(`["${sealedStart}`, `,"${sealedStart}`) !== undefined ||
        olderFiles().some((other) => startsOf(other).has(sealedStart)),
    };
  }
}

const prepare = (database: Sqlite) => ({
  hasWork: database.prepare<{ beforeMs: number }, { one: number }>(
    `SELECT 1 AS one FROM superseded WHERE supersededAtMs < @beforeMs
     UNION ALL SELECT 1 FROM definitionUses WHERE uses <= 0 AND changedAtMs < @beforeMs LIMIT 1`,
  ),
  superseded: database.prepare<[number, number], SupersededRow>(
    "SELECT kind, id, version, data FROM superseded WHERE supersededAtMs < ? ORDER BY supersededAtMs LIMIT ?",
  ),
  remove: database.prepare("DELETE FROM superseded WHERE kind = ? AND id = ? AND version = ?"),
  head: database.prepare<[number], { data: string }>("SELECT data FROM heads WHERE head = ?"),
  releaseHead: database.prepare("UPDATE heads SET uses = uses - 1 WHERE head = ?"),
  removeHeads: database.prepare("DELETE FROM heads WHERE uses <= 0"),
  releaseDefinition: database.prepare(
    "UPDATE definitionUses SET uses = uses - 1, changedAtMs = ? WHERE digest = ?",
  ),
  unusedDefinitions: database.prepare<[number, number], { digest: string }>(
    "SELECT digest FROM definitionUses WHERE uses <= 0 AND changedAtMs < ? LIMIT ?",
  ),
  removeDefinition: database.prepare("DELETE FROM entities WHERE kind = ? AND id = ?"),
  forgetDefinition: database.prepare("DELETE FROM definitionUses WHERE digest = ?"),
  sealed: database.prepare<[string, string], { one: number }>(
    "SELECT 1 AS one FROM superseded WHERE instr(secrets, ?) > 0 OR instr(secrets, ?) > 0 LIMIT 1",
  ),
});

function readStarts(file: string): Set<string> {
  try {
    const database = openSqliteReader(file, 1);
    try {
      const rows = database.prepare<[], { sealedStart: string }>("SELECT sealedStart FROM masterKeys").all();
      return new Set(rows.map((row) => row.sealedStart));
    } finally {
      database.close();
    }
  } catch {
    // What cannot be read is sealed under nothing that could be used.
    return new Set();
  }
}
