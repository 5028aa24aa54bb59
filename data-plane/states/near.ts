/**
 * The states that this data plane knows, on its disk: what its runs have stored and what it has asked for. A copy:
 * what is not confirmed by the control plane is in the journal, too, and what is confirmed can be asked for again.
 */
import { rmSync } from "node:fs";
import { messageOf } from "../../shared/errors.ts";
import { migrate, openSqlite, type Sqlite } from "../../shared/sqlite.ts";
import type { StateKey, StoredState } from "../../shared/states.ts";

export interface NearStates {
  read(key: string): StoredState | null;
  /** The same without its value, which may be large. */
  version(key: string): Omit<StoredState, "value"> | null;
  /** Several at once, or none. */
  write(states: readonly { key: string; state: StoredState }[]): void;
  /** Drops those that were written first, but for what `isNeeded`, until they take `bytesMax` at most. */
  shrink(bytesMax: number, isNeeded: (key: string) => boolean): void;
  /** Drops all of an owner that is gone. */
  forget(ownerId: string): void;
  /** Drops all but what `isNeeded`. */
  clear(isNeeded: (key: string) => boolean): void;
  /** Which states the control plane had, at which position of which store; "" for none. */
  listed(): { keys: StateKey[]; epoch: string; position: number };
  list(keys: readonly StateKey[], epoch: string, position: number): void;
  /** Of all states that are here. */
  keys(): string[];
  close(): void;
}

const migrations = [
  `
  CREATE TABLE states (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, stamp INTEGER NOT NULL, executionId TEXT NOT NULL,
    bytes INTEGER NOT NULL, value TEXT
  );
  CREATE TABLE listed (
    ownerId TEXT NOT NULL, scope TEXT NOT NULL, stableKey TEXT NOT NULL, PRIMARY KEY (ownerId, scope, stableKey)
  ) WITHOUT ROWID;
  CREATE TABLE meta (epoch TEXT NOT NULL, position INTEGER NOT NULL);
  INSERT INTO meta VALUES ('', 0);
  `,
];

const cacheMb = 8;
const shrinkRows = 500;

export interface NearOptions {
  warn(message: string, reason: string): void;
  /** It was found damaged and is empty now. */
  onLost(): void;
}

/** Where the file turns out to be damaged it is made anew, and what was asked of it is done on the new one. */
export function openNearStates(file: string, { warn, onLost }: NearOptions): NearStates {
  const remake = (error: unknown): NearStates => {
    warn("the copy of the flows' states is damaged and is made anew", messageOf(error));
    for (const end of ["", "-wal", "-shm"]) rmSync(file + end, { force: true });
    return openFile(file);
  };
  let states: NearStates;
  try {
    states = openFile(file);
  } catch (error) {
    states = remake(error);
  }
  const guarded = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      if (!damageCodes.test(String((error as { code?: unknown }).code))) throw error;
      states.close();
      states = remake(error);
      onLost();
      return work();
    }
  };
  return {
    read: (key) => guarded(() => states.read(key)),
    version: (key) => guarded(() => states.version(key)),
    write: (written) => guarded(() => states.write(written)),
    shrink: (bytesMax, isNeeded) => guarded(() => states.shrink(bytesMax, isNeeded)),
    forget: (ownerId) => guarded(() => states.forget(ownerId)),
    clear: (isNeeded) => guarded(() => states.clear(isNeeded)),
    listed: () => guarded(() => states.listed()),
    list: (keys, epoch, position) => guarded(() => states.list(keys, epoch, position)),
    keys: () => guarded(() => states.keys()),
    close: () => states.close(),
  };
}

const damageCodes = /^SQLITE_(CORRUPT|NOTADB)/;

function openFile(file: string): NearStates {
  const database = open(file);
  const readState = database.prepare<[string], StoredState>(
    "SELECT stamp, executionId, value FROM states WHERE key = ?",
  );
  const readVersion = database.prepare<[string], Omit<StoredState, "value">>(
    "SELECT stamp, executionId FROM states WHERE key = ?",
  );
  const insert = database.prepare(
    "INSERT OR REPLACE INTO states (key, stamp, executionId, bytes, value) VALUES (?, ?, ?, ?, ?)",
  );
  const remove = database.prepare("DELETE FROM states WHERE key = ?");
  const oldest = database.prepare<[number, number], { number: number; key: string; bytes: number }>(
    "SELECT number, key, bytes FROM states WHERE number > ? ORDER BY number LIMIT ?",
  );
  const bytesOf = database.prepare<[string], number>("SELECT bytes FROM states WHERE key = ?").pluck();
  const allBytes = database.prepare<[], number>("SELECT coalesce(sum(bytes), 0) FROM states").pluck();
  const insertListed = database.prepare("INSERT OR IGNORE INTO listed VALUES (?, ?, ?)");
  const setMeta = database.prepare("UPDATE meta SET epoch = ?, position = ?");
  let bytes = allBytes.get() ?? 0;

  const write = database.transaction((states: readonly { key: string; state: StoredState }[]) => {
    for (const { key, state } of states) {
      const stateBytes = key.length + (state.value?.length ?? 0);
      bytes += stateBytes - (bytesOf.get(key) ?? 0);
      insert.run(key, state.stamp, state.executionId, stateBytes, state.value);
    }
  });
  /** Walks all, oldest first; `visit` returns false to end. */
  const walk = database.transaction((visit: (row: { key: string; bytes: number }) => boolean) => {
    for (let after = 0; ; ) {
      const rows = oldest.all(after, shrinkRows);
      if (rows.length === 0) return;
      for (const row of rows) if (!visit(row)) return;
      after = rows.at(-1)!.number;
    }
  });
  const forget = database.transaction((ownerId: string) => {
    // "0" is what follows "/": all keys that start with the owner's id.
    database.prepare("DELETE FROM states WHERE key > ? AND key < ?").run(`${ownerId}/`, `${ownerId}0`);
    database.prepare("DELETE FROM listed WHERE ownerId = ?").run(ownerId);
  });
  const list = database.transaction((keys: readonly StateKey[], epoch: string, position: number) => {
    for (const { ownerId, scope, stableKey } of keys) insertListed.run(ownerId, scope, stableKey);
    setMeta.run(epoch, position);
  });
  return {
    read: (key) => readState.get(key) ?? null,
    version: (key) => readVersion.get(key) ?? null,
    write,
    shrink(bytesMax, isNeeded) {
      if (bytes <= bytesMax) return;
      walk((row) => {
        if (bytes <= bytesMax) return false;
        if (isNeeded(row.key)) return true;
        remove.run(row.key);
        bytes -= row.bytes;
        return true;
      });
    },
    forget(ownerId) {
      forget(ownerId);
      bytes = allBytes.get() ?? 0;
    },
    clear(isNeeded) {
      walk((row) => {
        if (!isNeeded(row.key)) remove.run(row.key);
        return true;
      });
      bytes = allBytes.get() ?? 0;
      database.exec("DELETE FROM listed");
    },
    listed() {
      const meta = database.prepare<[], { epoch: string; position: number }>("SELECT * FROM meta").get()!;
      return { keys: database.prepare<[], StateKey>("SELECT * FROM listed").all(), ...meta };
    },
    list,
    keys: () => database.prepare<[], string>("SELECT key FROM states").pluck().all(),
    close: () => database.close(),
  };
}

function open(file: string): Sqlite {
  // What the power may take is in the journal or at the control plane.
  const database = openSqlite(file, { synchronous: "normal", cacheMb });
  migrate(database, migrations);
  return database;
}
