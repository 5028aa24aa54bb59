/**
 * Executions that the control plane starts itself: the record is made first, then the command, so that the
 * record can be read at once and is there when the data plane reports.
 */
import { randomUUID } from "node:crypto";
import type { CommandKind } from "../../shared/commands.ts";
import { newId } from "../../shared/ids.ts";
import type { InvokeType, StoredRequest } from "../../shared/reports.ts";
import { keyHmac } from "../../shared/secrets.ts";
import type { ChangeFeed } from "../changeFeed.ts";
import { type CommandPayload, enqueueCommand } from "./commandQueue.ts";
import { exclusively } from "./reportIngestion.ts";
import type { StartedRow } from "./reportWriter.ts";
import type { Store } from "./store.ts";

export interface StartedExecution {
  invokeType: InvokeType;
  isTest: boolean;
  isDebug: boolean;
  integrationId: string;
  /** The integration's id where it runs on the draft. */
  versionId: string;
  versionNumber: number;
  instanceId: string | null;
  customerId: string | null;
  flowId: string | null;
  flowConfigId: string | null;
  flowStableKey: string | null;
  flowName: string | null;
  replayOf: string | null;
  request: StoredRequest;
}

export type StartingKind = Exclude<CommandKind, "PREPARE_DEPLOY" | "RETRY">;

/** Returns the execution's id. */
export async function startExecution<Kind extends StartingKind>(
  { store, feed }: { store: Store; feed: ChangeFeed },
  started: StartedExecution,
  kind: Kind,
  payload: (executionId: string) => CommandPayload<Kind>,
): Promise<string> {
  const id = newId();
  const { row, requestJson } = startedRow(id, started, Date.now());
  await exclusively(store, (writer) => writer.transaction(() => writer.insertStarted(row, requestJson)));
  await feed.transact((transaction) => enqueueCommand(transaction, kind, payload(id)));
  return id;
}

/** The record of an execution that waits for a data plane. */
export function startedRow(
  id: string,
  { request, isTest, isDebug, ...columns }: StartedExecution,
  startedAtMs: number,
): { row: StartedRow; requestJson: string } {
  const row = {
    id,
    ...columns,
    status: "QUEUED" as const,
    isTest: isTest ? 1 : 0,
    isDebug: isDebug ? 1 : 0,
    attempt: 1,
    startedAtMs,
    endedAtMs: null,
    errorCode: null,
    error: null,
    answerStatus: null,
    customerUserId: null,
    preprocessFlowName: null,
    invokedBy: null,
    ...noRetry,
  };
  return { row, requestJson: JSON.stringify(request) };
}

/** Of what is not a retry itself. */
export const noRetry = {
  retryOf: null,
  retryNumber: 0,
  maxRetryCount: 0,
  uniqueRequestId: null,
  retryNextAtMs: null,
  resultType: null,
} as const;

export interface TestRequest {
  method?: string | null | undefined;
  payload?: string | null | undefined;
  contentType?: string | null | undefined;
  headers: [name: string, value: string][];
  query?: string | null | undefined;
  /** The token of the URL that the request would have been sent to. */
  token: string;
}

/** As many keys as a webhook may show. */
const keysMax = 4;

/** A request as the journal keeps it, made of what a test was given. */
export function requestOfTest({ pepper }: Store, test: TestRequest): StoredRequest {
  const isKeyHeader = ([name]: [string, string]): boolean => name.toLowerCase() === "api-key";
  const keys = test.headers.filter(isKeyHeader).flatMap(([, value]) => value.split(","));
  const headers = test.headers.filter((header) => !isKeyHeader(header));
  const hasContentType = headers.some(([name]) => name.toLowerCase() === "content-type");
  const contentType = test.contentType ?? (test.payload == null ? null : "application/json");
  if (contentType !== null && !hasContentType) headers.push(["Content-Type", contentType]);
  return {
    method: test.method?.toUpperCase() ?? "POST",
    pathFragment: "",
    query: test.query ?? "",
    headers,
    body: test.payload == null ? null : Buffer.from(test.payload, "utf8").toString("base64"),
    keyHmacs: keys.slice(0, keysMax).map((key) => keyHmac(pepper, key.trim())),
    remoteAddress: "",
    receivedAtMs: Date.now(),
    requestId: randomUUID(),
    token: test.token,
  };
}
