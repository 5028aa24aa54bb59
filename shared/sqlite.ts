/** Opening SQLite databases: one place for the pragmas, and for what can go wrong with the file. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { ConfigurationError, messageOf } from "./errors.ts";

export type Sqlite = Database.Database;

export interface OpenOptions {
  /** `full` syncs every commit to the disk before it returns; `normal` may lose the last commits with the power. */
  synchronous: "full" | "normal" | "off";
  cacheMb?: number;
  /** Of a new file; one that is there keeps its own. */
  pageBytes?: number;
  /** Overwrites what is deleted or replaced, for secrets that must be gone from the file, too. */
  secureDelete?: boolean;
}

/** Opens (and makes) a database in WAL mode. Throws `ConfigurationError` where the file can't be used. */
export function openSqlite(file: string, options: OpenOptions): Sqlite {
  try {
    mkdirSync(dirname(file), { recursive: true });
    const database = new Database(file, { timeout: 5000 });
    if (options.pageBytes !== undefined) database.pragma(`page_size = ${options.pageBytes}`);
    database.pragma("journal_mode = WAL");
    database.pragma(`synchronous = ${options.synchronous}`);
    database.pragma("foreign_keys = ON");
    database.pragma(`cache_size = ${-1024 * (options.cacheMb ?? 16)}`);
    database.pragma("temp_store = MEMORY");
    if (options.secureDelete) database.pragma("secure_delete = ON");
    return database;
  } catch (error) {
    throw new ConfigurationError(`The database ${file} can't be opened: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** For reading only; the file must be there. */
export function openSqliteReader(file: string, cacheMb: number): Sqlite {
  const database = new Database(file, { readonly: true, fileMustExist: true, timeout: 5000 });
  database.pragma(`cache_size = ${-1024 * cacheMb}`);
  return database;
}

/** To be filled, and read by nobody before it is closed: nothing is synced, and a crash leaves it unusable. */
export function openSqliteBuilder(file: string, cacheMb: number): Sqlite {
  const database = new Database(file);
  // Not OFF, which better-sqlite3 does not allow; a new page needs no journal anyway.
  database.pragma("journal_mode = MEMORY");
  database.pragma("synchronous = OFF");
  database.pragma("locking_mode = EXCLUSIVE");
  database.pragma(`cache_size = ${-1024 * cacheMb}`);
  return database;
}

/**
 * Brings a database to the newest of the numbered migrations, one transaction each; `user_version` holds the
 * number. A database from a newer Switchyard is refused.
 */
export function migrate(database: Sqlite, migrations: readonly string[]): void {
  const current = database.pragma("user_version", { simple: true }) as number;
  if (current > migrations.length) {
    throw new ConfigurationError(
      `The database ${database.name} was written by a newer version of Switchyard (schema ${current}, this one knows ${migrations.length}).`,
    );
  }
  for (let next = current; next < migrations.length; next++) {
    database.transaction(() => {
      database.exec(migrations[next]!);
      database.pragma(`user_version = ${next + 1}`);
    })();
  }
}
