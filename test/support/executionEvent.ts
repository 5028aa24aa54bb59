import { newId } from "../../shared/ids.ts";
import type { ExecutionEvent } from "../../shared/reports.ts";

/** All there is of an execution that succeeded, but for what is given. */
export const executionEvent = (changes: Partial<ExecutionEvent> = {}): ExecutionEvent => {
  const { startedAtMs = Date.now() } = changes;
  return {
    kind: "execution",
    id: newId(),
    attempt: 1,
    sequence: 1,
    invokeType: "WEBHOOK",
    startedAtMs,
    isDebug: false,
    target: {
      integrationId: newId(),
      versionId: newId(),
      versionNumber: 1,
      instanceId: null,
      customerId: null,
      customerUserId: null,
      flowId: null,
      flowConfigId: null,
      flowStableKey: null,
      flowName: null,
      preprocessFlowName: null,
    },
    request: null,
    replayOf: null,
    invokedBy: null,
    steps: [],
    logs: [],
    sections: [],
    finish: { status: "SUCCEEDED", endedAtMs: startedAtMs, errorCode: null, error: null, answerStatus: 200 },
    ...changes,
  };
};
