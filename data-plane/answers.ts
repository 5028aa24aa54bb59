/** What a sender is answered with: the execution's id, the trigger's response, or the flow's result. */
import type { Config } from "../shared/config.ts";
import { type Flow, routableFlows } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import { toNodeId } from "../shared/ids.ts";
import type { StoredRequest } from "../shared/reports.ts";
import { headerOf } from "./admission.ts";
import type { Execution, ExecutionHooks, Executions } from "./executions.ts";
import { type Answer, refusal } from "./ingress.ts";
import type { HttpResponse, RunOutcome } from "./runs.ts";

export interface AnswerOptions {
  config: Pick<Config, "synchronousTimeoutMs" | "triggerResponseTimeoutMs">;
  executions: Executions;
}

/** What of a request its answer depends on. */
export type Sender = Pick<StoredRequest, "headers" | "requestId" | "receivedAtMs">;

/**
 * Makes an execution durable, runs it, and answers its sender: at once, or when what the answer waits for is
 * there. Both promises reject with `JournalFullError` where the journal does not take it.
 */
export function acceptAndAnswer(
  { executions, config }: AnswerOptions,
  incoming: Sender,
  execution: Execution,
): { accepted: Promise<void>; answer: Promise<Answer> } {
  const executionId = toNodeId("InstanceExecutionResult", execution.entry.id);
  const elapsedMs = () => Date.now() - incoming.receivedAtMs;
  let isAccepted: Promise<void> = Promise.resolve();
  const answer = new Promise<Answer>((resolve, reject) => {
    let status: number | null = null;
    let timer: NodeJS.Timeout | null = null;
    let isDurable = false;
    let early: Answer | null = null;
    const answer = (given: Answer) => {
      if (status !== null) return;
      // Whatever is answered carries the execution's id, so it is answered only once the journal has it.
      if (!isDurable) {
        early ??= given;
        return;
      }
      if (timer !== null) clearTimeout(timer);
      status = given.status;
      resolve(given);
    };
    const refuseWith = (code: ErrorCode, retryAfter: number | null = null) =>
      answer(
        refusal(code, incoming.requestId, {
          ...(keyCodes.has(code) ? {} : { executionId }),
          retryAfter,
        }),
      );
    const answerAfter = (ms: number, then: () => void) => {
      if (timer !== null) clearTimeout(timer);
      timer = setTimeout(then, Math.max(0, ms - elapsedMs()));
    };
    /** What the answer waits for once the flow is known. */
    const waitFor = (flow: Flow) => {
      if (isSynchronous(incoming, flow)) {
        hooks.needsResult = true;
        hooks.onEnd = (outcome) => answer(synchronousAnswer(outcome, executionId, incoming.requestId));
        answerAfter(config.synchronousTimeoutMs, () => refuseWith("SYNCHRONOUS_TIMEOUT"));
        hooks.onTriggerDone = (response) => {
          if (response !== null) answer(triggerAnswer(response, executionId));
        };
      } else if (flow.hasTriggerCode) {
        hooks.onTriggerDone = (response) =>
          answer(response === null ? acceptedAnswer(executionId) : triggerAnswer(response, executionId));
        hooks.onTriggerFailed = () => refuseWith("TRIGGER_FAILED");
        hooks.onEnd = () => answer(acceptedAnswer(executionId));
        answerAfter(config.triggerResponseTimeoutMs, () => answer(acceptedAnswer(executionId)));
      } else {
        answer(acceptedAnswer(executionId));
      }
    };
    const hooks: ExecutionHooks = { answerStatus: () => status };
    if (execution.target === null) {
      hooks.onNotRouted = refuseWith;
      hooks.onRouted = ({ flow }) => waitFor(flow);
      const mayTakeMs = isSynchronousWhateverFlow(incoming, execution)
        ? config.synchronousTimeoutMs
        : config.triggerResponseTimeoutMs;
      answerAfter(mayTakeMs, () => answer(acceptedAnswer(executionId)));
    } else {
      waitFor(execution.target.flow);
    }
    isAccepted = executions.accept(execution, hooks);
    isAccepted.then(
      () => {
        isDurable = true;
        if (early !== null) answer(early);
      },
      (error) => {
        if (timer !== null) clearTimeout(timer);
        reject(error);
      },
    );
  });
  // Who waits for one of the two hears of a failure there; the other must not count as unhandled.
  answer.catch(() => {});
  return { accepted: isAccepted, answer };
}

/** Who may not come in is not told what became of the request. */
const keyCodes: ReadonlySet<ErrorCode> = new Set(["KEY_REFUSED", "TOO_MANY_WRONG_KEYS"]);

function isSynchronous(incoming: Sender, flow: Flow): boolean {
  const header = headerOf(incoming.headers, "prismatic-synchronous")?.toLowerCase();
  return header === "true" || (header !== "false" && flow.isSynchronous);
}

/** True where the answer is a flow's result, whichever flow the preprocess flow names. */
function isSynchronousWhateverFlow(incoming: Sender, { endpoint }: Execution): boolean {
  return routableFlows(endpoint.source.definition).every((flow) => isSynchronous(incoming, flow));
}

const acceptedAnswer = (executionId: string): Answer => ({
  status: 200,
  headers: [
    ["content-type", "application/json"],
    ["prismatic-executionid", executionId],
  ],
  body: JSON.stringify({ executionId }),
});

function triggerAnswer(response: HttpResponse, executionId: string): Answer {
  return {
    status: statusOr200(response.statusCode),
    headers: [
      ["content-type", response.contentType || "application/json"],
      ...Object.entries(response.headers ?? {}).filter(isNotContentType),
      ["prismatic-executionid", executionId],
    ],
    body: response.body ?? JSON.stringify({ executionId }),
  };
}

function synchronousAnswer(outcome: RunOutcome, executionId: string, requestId: string): Answer {
  if (outcome.status === "FAILED") return refusal("FLOW_FAILED", requestId, { executionId });
  const result = outcome.result ?? { data: undefined };
  const { body, contentType } = bodyOf(result.data, result.contentType);
  return {
    status: statusOr200(result.statusCode),
    headers: [
      ["content-type", contentType],
      ...Object.entries(result.headers ?? {}).filter(isNotContentType),
      ["prismatic-executionid", executionId],
    ],
    body,
  };
}

/** Bytes as bytes, a text with a content type of its own as it is, everything else as JSON. */
function bodyOf(
  data: unknown,
  contentType: string | undefined,
): { body: string | Buffer; contentType: string } {
  if (data instanceof Uint8Array)
    return {
      body: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
      contentType: contentType ?? "application/octet-stream",
    };
  if (typeof data === "string" && contentType !== undefined && !/\bjson\b/i.test(contentType))
    return { body: data, contentType };
  return { body: JSON.stringify(data ?? null), contentType: contentType ?? "application/json" };
}

const isNotContentType = ([name]: [string, string]): boolean => name.toLowerCase() !== "content-type";

const statusOr200 = (status: number | undefined): number =>
  typeof status === "number" && Number.isInteger(status) && status >= 200 && status <= 599 ? status : 200;
