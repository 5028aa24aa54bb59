/**
 * One log event for each webhook and each run that the settings ask for: what an operator looks for when a sender
 * asks what became of a request. Ids are those of the API. Nothing that a sender or a flow wrote is in it but the
 * request's id and method: no URL's token, key, header, query or body.
 */
import type { Logger } from "pino";
import type { Config } from "../shared/config.ts";
import { executionNodeId, type NodeType, toNodeId } from "../shared/ids.ts";
import type { ExecutionFinish, ExecutionTarget } from "../shared/reports.ts";
import { type AnsweredWebhook, isEventLogged } from "./answeredWebhooks.ts";
import type { EndedExecution } from "./executions.ts";
import type { EntryMeta } from "./journal/entry.ts";

export interface WideEvents {
  webhook(answered: AnsweredWebhook): void;
  /** Whether the end of a run is to be logged. */
  isRunLogged(status: ExecutionFinish["status"], executionId: string): boolean;
  run(ended: EndedExecution): void;
}

export function createWideEvents(
  config: Pick<Config, "logEvents" | "logSample">,
  logger: Logger,
): WideEvents {
  return {
    webhook(answered) {
      const { status, errorCode, bodyBytes, durationMs, leftOut } = answered;
      const fields = {
        requestId: answered.requestId,
        executionId: answered.executionId && executionNodeId(answered.executionId),
        method: answered.method,
        endpointKind: answered.endpointKind,
        integrationId: nodeId("Integration", answered.integrationId),
        instanceId: nodeId("Instance", answered.instanceId),
        customerId: nodeId("Customer", answered.customerId),
        flow: answered.flow,
        status,
        errorCode,
        bodyBytes,
        durationMs,
        ...(leftOut > 0 ? { leftOut } : {}),
      };
      if ((status ?? 0) >= 500) logger.error(fields, "webhook");
      else logger.info(fields, "webhook");
    },
    isRunLogged: (status, executionId) => isEventLogged(config, status === "FAILED", executionId),
    run(ended) {
      const { finish, head, plan, beganAtMs } = ended;
      const { request } = JSON.parse(ended.metaJson) as EntryMeta;
      const target = plan === null ? null : (JSON.parse(plan.targetJson) as ExecutionTarget);
      const fields = {
        requestId: request.requestId,
        executionId: executionNodeId(ended.id),
        attempt: ended.attempt,
        invokeType: head.invokeType,
        part: plan?.part ?? null,
        preprocessFlow: target?.preprocessFlowName ?? null,
        flow: plan?.part === "FLOW" ? plan.flowName : null,
        integrationId: nodeId("Integration", target?.integrationId),
        versionNumber: target?.versionNumber ?? null,
        instanceId: nodeId("Instance", target?.instanceId),
        customerId: nodeId("Customer", target?.customerId),
        outcome: finish.status,
        errorCode: finish.errorCode,
        answerStatus: finish.answerStatus,
        waitedMs: Math.max(0, (beganAtMs || finish.endedAtMs) - head.receivedAtMs),
        ranMs: beganAtMs === 0 ? 0 : Math.max(0, finish.endedAtMs - beganAtMs),
        thread: ended.thread,
        records: ended.records,
      };
      if (finish.status === "FAILED") logger.warn(fields, "run");
      else logger.info(fields, "run");
    },
  };
}

const nodeId = (type: NodeType, id: string | null | undefined): string | null =>
  id == null ? null : toNodeId(type, id);
