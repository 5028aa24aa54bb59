/**
 * Pages of Relay connections. Lists that are read from the store are paged by key (stable while rows come and
 * go); short lists in memory by position.
 */
import { GraphQLError } from "graphql";
import { type Expression, type SelectQueryBuilder, type SqlBool, sql } from "kysely";

export interface PageArguments {
  first?: number | null | undefined;
  last?: number | null | undefined;
  after?: string | null | undefined;
  before?: string | null | undefined;
}

export interface Page<Item> {
  edges: { cursor: string; node: Item }[];
  pageInfo: {
    hasNextPage: boolean;
    hasPreviousPage: boolean;
    startCursor: string | null;
    endCursor: string | null;
  };
  totalCount: number | (() => Promise<number>);
}

export const pageCountMax = 100;

type KeyValue = string | number;

export interface KeyOrder<Row> {
  /** A column that rises with the others, in steps: the order is the same with it, and an index may start with it. */
  coarse?: string;
  /** The columns that order the rows, together unique, as `table.column`. */
  columns: readonly string[];
  /** The row's values of these columns, never null. */
  key: (row: Row) => readonly KeyValue[];
  direction?: "asc" | "desc";
}

/** One page of a query that has no order and no limit of its own. */
export async function pageOfQuery<Tables, Table extends keyof Tables, Row, Item = Row>(
  query: SelectQueryBuilder<Tables, Table, Row>,
  args: PageArguments,
  order: KeyOrder<Row>,
  toItem: (row: Row) => Item = (row) => row as unknown as Item,
): Promise<Page<Item>> {
  const window = readWindow(args);
  const direction = order.direction ?? "asc";
  const columns = order.columns.map((column) => sql.ref(column));
  const beyond = (cursor: string, isAfter: boolean): Expression<SqlBool> => {
    const values = decodeCursor(cursor, columns.length);
    const sign = sql.raw(isAfter === (direction === "asc") ? ">" : "<");
    return sql<SqlBool>`(${sql.join(columns)}) ${sign} (${sql.join(values)})`;
  };
  let bounded = query;
  if (window.after !== null) bounded = bounded.where(beyond(window.after, true));
  if (window.before !== null) bounded = bounded.where(beyond(window.before, false));
  const readDirection = window.fromEnd ? opposite(direction) : direction;
  if (order.coarse !== undefined) bounded = bounded.orderBy(sql.ref(order.coarse), readDirection);
  for (const column of columns) bounded = bounded.orderBy(column, readDirection);
  const rows = window.count === 0 ? [] : await bounded.limit(window.count + 1).execute();
  const hasMore = rows.length > window.count;
  if (hasMore) rows.pop();
  if (window.fromEnd) rows.reverse();
  const edges = rows.map((row) => ({ cursor: encodeCursor(order.key(row)), node: toItem(row) }));
  return {
    edges,
    pageInfo: {
      hasNextPage: window.fromEnd ? window.before !== null : hasMore,
      hasPreviousPage: window.fromEnd ? hasMore : window.after !== null,
      startCursor: edges.at(0)?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    totalCount: async () => {
      const counted = await query
        .clearSelect()
        .select(sql<number>`count(*)`.as("count"))
        .executeTakeFirstOrThrow();
      return Number((counted as unknown as { count: number }).count);
    },
  };
}

/** One page of a list that is in memory as a whole. */
export function pageOfList<Item>(items: readonly Item[], args: PageArguments): Page<Item> {
  const window = readWindow(args);
  const positionOf = (cursor: string): number => Number(decodeCursor(cursor, 1)[0]);
  const from = window.after === null ? 0 : positionOf(window.after) + 1;
  const to = Math.min(items.length, window.before === null ? items.length : positionOf(window.before));
  const start = window.fromEnd ? Math.max(from, to - window.count) : from;
  const end = window.fromEnd ? to : Math.min(to, from + window.count);
  const edges = items
    .slice(start, Math.max(start, end))
    .map((node, index) => ({ cursor: encodeCursor([start + index]), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: end < items.length,
      hasPreviousPage: start > 0,
      startCursor: edges.at(0)?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    totalCount: items.length,
  };
}

export const emptyPage = <Item>(): Page<Item> => pageOfList<Item>([], {});

/** Whether the column has the text in it, whatever its case. */
export function contains(column: string, text: string): Expression<SqlBool> {
  const pattern = `%${text.toLowerCase().replace(/[\\%_]/g, "\\$&")}%`;
  return sql<SqlBool>`lower(${sql.ref(column)}) like ${pattern} escape '\\'`;
}

interface Window {
  count: number;
  fromEnd: boolean;
  after: string | null;
  before: string | null;
}

/** An empty cursor is none: the prism CLI asks for its first page with `after: ""`. */
function readWindow({ first, last, after, before }: PageArguments): Window {
  if (first != null && last != null) throw new GraphQLError("Give first or last, not both.");
  const count = first ?? last ?? pageCountMax;
  if (count < 0 || count > pageCountMax) {
    throw new GraphQLError(`${first != null ? "first" : "last"} must be from 0 to ${pageCountMax}.`);
  }
  return { count, fromEnd: last != null, after: after || null, before: before || null };
}

const encodeCursor = (values: readonly KeyValue[]): string =>
  Buffer.from(JSON.stringify(values), "utf8").toString("base64url");

function decodeCursor(cursor: string, length: number): KeyValue[] {
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (
      Array.isArray(values) &&
      values.length === length &&
      values.every((value) => typeof value === "string" || typeof value === "number")
    ) {
      return values;
    }
  } catch {
    // Not a cursor of ours: said below.
  }
  throw new GraphQLError("This cursor is not one of this list.");
}

const opposite = (direction: "asc" | "desc"): "asc" | "desc" => (direction === "asc" ? "desc" : "asc");
