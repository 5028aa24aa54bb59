/** How many executions there are, as the API counts them. */
import type { Api } from "../../shared/scripts/apiClient.ts";
import { graphql } from "../support/graphql.ts";

export interface ExecutionCounts {
  recorded: number;
  ended: number;
}

const document = `query ($since: DateTime!) {
  recorded: executionResults(startedAt_Gte: $since, first: 1) { totalCount }
  ended: executionResults(startedAt_Gte: $since, endedAt_Isnull: false, first: 1) { totalCount }
}`;

/** Of those that were accepted since then. */
export async function countExecutions(api: Api, sinceMs: number): Promise<ExecutionCounts> {
  const data = await graphql(api.url, api.token, document, { since: new Date(sinceMs).toISOString() });
  return { recorded: data.recorded.totalCount, ended: data.ended.totalCount };
}
