/** Earlier releases kept the journal in SQLite: what is in such a one must not be lost without a word. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError, messageOf } from "../../shared/errors.ts";
import { openSqlite } from "../../shared/sqlite.ts";

/** Throws `ConfigurationError` where the folder holds an earlier release's journal that is not empty. */
export function refuseOldJournal(folder: string): void {
  const file = join(folder, "journal.db");
  if (!existsSync(file)) return;
  let left: number;
  try {
    const database = openSqlite(file, { synchronous: "full", cacheMb: 1 });
    try {
      const count = (table: string) =>
        database.prepare<[], { count: number }>(`SELECT count(*) AS count FROM ${table}`).get()!.count;
      left = count("entries") + count("reports");
    } finally {
      database.close();
    }
  } catch (error) {
    throw new ConfigurationError(
      `${file} is not a journal that can be read (${messageOf(error)}): put it aside to start without it.`,
    );
  }
  if (left > 0) {
    throw new ConfigurationError(
      `${file} is the journal of an earlier release and holds ${left} entries and reports: start that release once more and let it finish and report them, then start this one.`,
    );
  }
}
