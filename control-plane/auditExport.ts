/**
 * The audit log as JSON lines, the oldest first: `GET /audit.jsonl?from=<ISO 8601>&to=<ISO 8601>` with a token of
 * the organization. A page at a time, and none before the client has taken the one before.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isUuid, toNodeId } from "../shared/ids.ts";
import type { Services, Viewer } from "./context.ts";
import { type AuditRow, type AuditSpan, readAuditRows } from "./store/auditLog.ts";

const pageRows = 100;
/** Each reads the store while it runs: people's changes must not wait for many of them. */
const exportsMax = 2;
let exportsUnderWay = 0;

export async function handleAuditExport(
  { store }: Pick<Services, "store">,
  viewer: Viewer | null | "refused",
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "GET") return refuse(response, 405, "Use GET.", { allow: "GET" });
  if (viewer === null || viewer === "refused") {
    return refuse(response, 401, "A token of the organization is required.");
  }
  if (viewer.role !== "ADMIN" && viewer.role !== "MEMBER") {
    return refuse(response, 403, "Only the organization reads the audit log.");
  }
  const span = readSpan(request.url ?? "");
  if (span === null) return refuse(response, 400, "from and to must be ISO 8601 texts.");
  if (exportsUnderWay >= exportsMax) {
    return refuse(response, 429, `At most ${exportsMax} exports run at once.`, { "retry-after": "10" });
  }
  exportsUnderWay += 1;
  try {
    response.writeHead(200, {
      "content-type": "application/jsonl; charset=utf-8",
      "content-disposition": 'attachment; filename="audit.jsonl"',
      "cache-control": "private, no-store",
      "x-content-type-options": "nosniff",
    });
    await writeRows(response, (after) => readAuditRows(store, span, after, pageRows));
    response.end();
  } finally {
    exportsUnderWay -= 1;
  }
}

async function writeRows(
  response: ServerResponse,
  next: (after: AuditRow | null) => Promise<AuditRow[]>,
): Promise<void> {
  let after: AuditRow | null = null;
  for (;;) {
    const rows: AuditRow[] = await next(after);
    if (response.destroyed) return;
    const isTaken = response.write(rows.map(lineOf).join(""));
    if (!isTaken) await taken(response);
    if (rows.length < pageRows || response.destroyed) return;
    after = rows.at(-1)!;
  }
}

/** Once what was written is on its way, or the client has gone. */
async function taken(response: ServerResponse): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(response, "drain", { signal }), once(response, "close", { signal })]);
  over.abort();
}

function lineOf(row: AuditRow): string {
  const event = {
    id: toNodeId("AuditEvent", row.id),
    at: new Date(row.atMs).toISOString(),
    actor: isUuid(row.actor) ? toNodeId("User", row.actor) : row.actor,
    actorRole: row.actorRole,
    token: row.tokenId === null ? null : toNodeId("UserToken", row.tokenId),
    remoteAddress: row.remoteAddress,
    requestId: row.requestId,
    action: row.action,
    objectId: row.objectId,
    customer: row.customerId === null ? null : toNodeId("Customer", row.customerId),
    outcome: row.outcome,
    detail: JSON.parse(row.detailJson) as unknown,
  };
  return `${JSON.stringify(event)}\n`;
}

function readSpan(url: string): AuditSpan | null {
  const query = new URLSearchParams(url.split("?")[1] ?? "");
  const fromMs = momentOf(query.get("from"));
  const toMs = momentOf(query.get("to"));
  return fromMs === undefined || toMs === undefined ? null : { fromMs, toMs };
}

/** Undefined where the text is no moment. */
function momentOf(text: string | null): number | null | undefined {
  if (text === null || text === "") return null;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : atMs;
}

function refuse(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  response
    .writeHead(status, { "content-type": "application/json", ...headers })
    .end(JSON.stringify({ error: { message } }));
}
