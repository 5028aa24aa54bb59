/** Replays: an execution's request is sent the whole way again, as an execution of its own. */
import type { ChangeFeed } from "../changeFeed.ts";
import type { CommandPayload } from "./commandQueue.ts";
import { type StartedExecution, type StartingKind, startExecution } from "./startedExecutions.ts";
import type { Store } from "./store.ts";
import { readExecutionRequest } from "./storedObjects.ts";
import type { ExecutionTables } from "./tables.ts";

/** What of an execution its replay depends on. */
export type Replayed = Pick<
  ExecutionTables["executions"],
  | "id"
  | "invokeType"
  | "isTest"
  | "isDebug"
  | "integrationId"
  | "versionId"
  | "versionNumber"
  | "instanceId"
  | "customerId"
  | "flowId"
  | "flowConfigId"
  | "flowStableKey"
  | "flowName"
>;

/** A record and its command, that are yet to be made. */
export interface PreparedReplay<Kind extends StartingKind = StartingKind> {
  started: StartedExecution;
  kind: Kind;
  payload: (executionId: string) => CommandPayload<Kind>;
}

/** Where a replay goes is found out anew: until it is, the record belongs to the integration only. */
export const notRouted = {
  instanceId: null,
  customerId: null,
  flowId: null,
  flowConfigId: null,
  flowStableKey: null,
  flowName: null,
} as const;

/** Returns the new execution's id, or null where the request is not stored. */
export async function startReplay(
  services: { store: Store; feed: ChangeFeed },
  execution: Replayed,
): Promise<string | null> {
  const prepared = await prepareReplay(services.store, execution);
  return prepared && startExecution(services, prepared.started, prepared.kind, prepared.payload);
}

/** Null where the request is not stored. A test runs again as the test that it was. */
export async function prepareReplay(store: Store, execution: Replayed): Promise<PreparedReplay | null> {
  const request = await readExecutionRequest(store, execution.id);
  if (request === null) return null;
  const { integrationId, versionId, versionNumber, instanceId, flowStableKey } = execution;
  const isDebug = execution.isDebug === 1;
  const started = {
    isTest: execution.isTest === 1,
    isDebug,
    integrationId,
    versionId,
    versionNumber,
    replayOf: execution.id,
    request,
  };
  const { customerId, flowId, flowConfigId, flowName } = execution;
  if (execution.invokeType === "TEST_ENDPOINT")
    return prepared(
      "TEST_ENDPOINT",
      { ...started, ...notRouted, invokeType: "TEST_ENDPOINT" },
      (executionId) => ({
        executionId,
        integrationId,
        isDebug,
        request,
      }),
    );
  const routed = { instanceId, customerId, flowId, flowConfigId, flowStableKey, flowName };
  if (execution.invokeType === "TEST" && instanceId !== null && flowStableKey !== null)
    return prepared("RUN_FLOW", { ...started, ...routed, invokeType: "TEST" }, (executionId) => ({
      executionId,
      instanceId,
      flowStableKey,
      isDebug,
      request,
    }));
  // What no sender has sent has no key to show, and no routing.
  if (request.invocation !== undefined && instanceId !== null && flowStableKey !== null)
    return prepared("INVOKE_FLOW", { ...started, ...routed, invokeType: "REPLAY" }, (executionId) => ({
      executionId,
      instanceId,
      flowStableKey,
      feedVersion: 0,
      invokeType: "REPLAY",
      isDebug,
      replayOf: execution.id,
      invokedBy: null,
      request,
    }));
  return prepared("REPLAY", { ...started, ...notRouted, invokeType: "REPLAY" }, (executionId) => ({
    executionId,
    replayOf: execution.id,
    request,
  }));
}

const prepared = <Kind extends StartingKind>(
  kind: Kind,
  started: StartedExecution,
  payload: (executionId: string) => CommandPayload<Kind>,
): PreparedReplay => ({ started, kind, payload }) as PreparedReplay;
