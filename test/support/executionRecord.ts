/** The record of an execution, as an admin reads it. */
import { graphql } from "./graphql.ts";
import type { TestPlanes } from "./planes.ts";
import { waitFor } from "./waitFor.ts";

export interface ExecutionRecord {
  id: string;
  status: string;
  error: string | null;
  errorCode: string | null;
  attempt: number;
  invokeType: string;
  endedAt: string | null;
  answerStatus: number | null;
  flowName: string | null;
  preprocessFlowName: string | null;
  customer: { externalId: string } | null;
  instance: { id: string; name: string } | null;
  integration: { id: string; name: string; versionNumber: number } | null;
  replayForExecution: { id: string } | null;
  stepResults: { totalCount: number; nodes: { stepName: string; part: string; resultsUrl: string }[] };
  logs: { nodes: { severity: string; message: string }[] };
}

const document = `query ($id: ID!) {
  executionResult(id: $id) {
    id status error errorCode attempt invokeType endedAt answerStatus flowName preprocessFlowName
    customer { externalId } instance { id name } integration { id name versionNumber } replayForExecution { id }
    stepResults(orderBy: { field: STARTED_AT, direction: ASC }) { totalCount nodes { stepName part resultsUrl } }
    logs(orderBy: { field: TIMESTAMP, direction: ASC }) { nodes { severity message } }
  }
}`;

type Reader = Pick<TestPlanes, "controlUrl" | "adminToken">;

export async function executionRecord(planes: Reader, id: string): Promise<ExecutionRecord | null> {
  return (await graphql(planes.controlUrl, planes.adminToken, document, { id })).executionResult;
}

/** The record once the execution has ended. */
export function endedExecution(planes: Reader, id: string, timeoutMs = 15_000): Promise<ExecutionRecord> {
  return waitFor(async () => {
    const record = await executionRecord(planes, id);
    return record?.endedAt == null ? null : record;
  }, timeoutMs);
}

export const messagesOf = (record: ExecutionRecord): string[] => record.logs.nodes.map((log) => log.message);
