/** The audit log as rows. They are only added, and pruned by age: a trigger refuses every change of one. */
import { newId } from "../../shared/ids.ts";
import type { ConfigDatabase, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export type AuditRow = ConfigTables["auditLog"];
export type NewAuditRow = Omit<AuditRow, "id" | "atMs">;

/** Give the transaction of the change itself, so that neither is there without the other. */
export async function insertAuditRow(database: ConfigDatabase, row: NewAuditRow): Promise<void> {
  await database
    .insertInto("auditLog")
    .values({ id: newId(), atMs: Date.now(), ...row })
    .execute();
}

export interface AuditSpan {
  /** The first moment, included; null for the oldest row. */
  fromMs: number | null;
  /** The last moment, included; null for the newest row. */
  toMs: number | null;
}

/** The next rows of the span, the oldest first, after the given one. */
export function readAuditRows(
  store: Store,
  { fromMs, toMs }: AuditSpan,
  after: Pick<AuditRow, "atMs" | "id"> | null,
  rowsMax: number,
): Promise<AuditRow[]> {
  let query = store.config.selectFrom("auditLog").selectAll();
  if (fromMs !== null) query = query.where("atMs", ">=", fromMs);
  if (toMs !== null) query = query.where("atMs", "<=", toMs);
  if (after !== null) {
    query = query.where((row) => row(row.refTuple("atMs", "id"), ">", row.tuple(after.atMs, after.id)));
  }
  return query.orderBy("atMs").orderBy("id").limit(rowsMax).execute();
}
