/**
 * Which rows a transaction made: the audit log names them without each mutation having to say so. It reads the
 * queries' own trees on their way to the database.
 */
import {
  InsertQueryNode,
  type KyselyPlugin,
  PrimitiveValueListNode,
  type RootOperationNode,
  type ValueListNode,
  ValueNode,
  ValuesNode,
} from "kysely";
import type { ConfigTransaction } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

export interface InsertedRow {
  table: keyof ConfigTables;
  id: string;
}

/** An integration with hundreds of flows makes as many rows: the first ones say enough. */
const rowsMax = 100;

/** The same transaction, and the list that its inserts are noted in. */
export function noteInserts(transaction: ConfigTransaction): {
  transaction: ConfigTransaction;
  inserted: readonly InsertedRow[];
} {
  const inserted: InsertedRow[] = [];
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      for (const row of rowsOf(node)) if (inserted.length < rowsMax) inserted.push(row);
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return { transaction: transaction.withPlugin(plugin), inserted };
}

function rowsOf(node: RootOperationNode): InsertedRow[] {
  if (!InsertQueryNode.is(node) || node.into === undefined) return [];
  if (node.values === undefined || !ValuesNode.is(node.values)) return [];
  const table = node.into.table.identifier.name as keyof ConfigTables;
  const position = node.columns?.findIndex(({ column }) => column.name === "id") ?? -1;
  if (position < 0) return [];
  return node.values.values.flatMap((list) => {
    const id = PrimitiveValueListNode.is(list) ? list.values[position] : valueAt(list, position);
    return typeof id === "string" ? [{ table, id }] : [];
  });
}

function valueAt(list: ValueListNode, position: number): unknown {
  const value = list.values[position];
  return value !== undefined && ValueNode.is(value) ? value.value : undefined;
}
