/** Everything that was recorded since a moment, read over GraphQL page by page. */
import { graphql } from "../support/graphql.ts";
import type { TestPlanes } from "../support/planes.ts";

export interface RecordRow {
  id: string;
  status: string;
  errorCode: string | null;
  error: string | null;
  attempt: number;
  startedAt: string;
  endedAt: string | null;
}

export interface RejectionRow {
  id: string;
  code: string;
  requestId: string;
}

type Reader = Pick<TestPlanes, "controlUrl" | "adminToken">;

export async function executionsSince(
  planes: Reader,
  integrationIds: string[],
  sinceMs: number,
): Promise<RecordRow[]> {
  const found = await Promise.all(
    integrationIds.map((integrationId) => executionsOf(planes, integrationId, sinceMs)),
  );
  return found.flat();
}

const executionsOf = (planes: Reader, integrationId: string, sinceMs: number) =>
  allPages<RecordRow>(
    planes,
    `query ($integration: ID!, $since: DateTime, $after: String) {
      page: executionResults(integration: $integration, startedAt_Gte: $since, first: 100, after: $after) {
        nodes { id status errorCode error attempt startedAt endedAt } pageInfo { hasNextPage endCursor }
      }
    }`,
    { integration: integrationId, since: new Date(sinceMs).toISOString() },
  );

export const rejectionsSince = (planes: Reader, sinceMs: number) =>
  allPages<RejectionRow>(
    planes,
    `query ($since: DateTime, $after: String) {
      page: rejections(at_Gte: $since, first: 100, after: $after) {
        nodes { id code requestId } pageInfo { hasNextPage endCursor }
      }
    }`,
    { since: new Date(sinceMs).toISOString() },
  );

/** How many executions have not ended yet. */
export async function openExecutions(planes: Reader, integrationIds: string[]): Promise<number> {
  let open = 0;
  for (const integration of integrationIds) {
    const { executionResults } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($integration: ID!) { executionResults(integration: $integration, endedAt_Isnull: true) { totalCount } }`,
      { integration },
    );
    open += executionResults.totalCount;
  }
  return open;
}

/** The messages of the log that say that a lost thread made it run again: not an attempt, but a run. */
export async function threadReruns(planes: Reader, executionId: string): Promise<number> {
  const { executionResult } = await graphql(
    planes.controlUrl,
    planes.adminToken,
    `query ($id: ID!) { executionResult(id: $id) { logs(first: 100) { nodes { message } } } }`,
    { id: executionId },
  );
  const messages = executionResult.logs.nodes as { message: string }[];
  return messages.filter(({ message }) => message.includes("runs again from its start")).length;
}

async function allPages<Row>(
  planes: Reader,
  document: string,
  variables: Record<string, unknown>,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (let after: string | null = null; ; ) {
    const { page } = await graphql(planes.controlUrl, planes.adminToken, document, { ...variables, after });
    rows.push(...page.nodes);
    if (!page.pageInfo.hasNextPage) return rows;
    after = page.pageInfo.endCursor;
  }
}
