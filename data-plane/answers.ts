/** What a sender is answered with: the execution's id, the trigger's response, or the flow's result. */
import type { Config } from "../shared/config.ts";
import { type Definition, type Flow, routableFlows } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import { toNodeId } from "../shared/ids.ts";
import type { StoredRequest } from "../shared/reports.ts";
import { type Answer, refusal } from "./ingress.ts";
import { answerStatus, bodyOf, isNotContentType } from "./resultBody.ts";
import type { HttpResponse, RunOutcome, RunResult } from "./runs.ts";

/** What of a request its answer depends on. */
export type Sender = Pick<StoredRequest, "headers" | "requestId" | "receivedAtMs">;

/** What an execution tells to who waits for it. Each is called at most once. */
export interface AnswerHooks {
  /** The preprocess part ended and this flow was found. */
  onRouted(flow: Flow): void;
  /** The preprocess part failed, or what it named is not there, or its key is wrong, or it is paused. */
  onNotRouted(code: ErrorCode, retryAfter: number | null): void;
  /** The flow's trigger ended; with the response that it gave. */
  onTriggerDone(response: HttpResponse | null): void;
  onTriggerFailed(): void;
  onEnd(outcome: Pick<RunOutcome, "status" | "result">): void;
  /** True where the answer is the flow's result. */
  needsResult(): boolean;
  /** The HTTP status that the sender got, or null where none was given yet. */
  status(): number | null;
}

/**
 * True where the sender is answered as soon as its webhook is on disk; else its answer waits for the routing, the
 * trigger's response or the flow's result. `flow` is null where a preprocess flow finds it.
 */
export const answersAtOnce = (flow: Flow | null, headers: Sender["headers"]): boolean =>
  flow !== null && !flow.hasTriggerCode && !isSynchronous(headers, flow);

export interface WaitingAnswer {
  config: Pick<Config, "synchronousTimeoutMs" | "triggerResponseTimeoutMs">;
  /** The execution's uuid. */
  id: string;
  sender: Sender;
  /** Null where a preprocess flow finds it. */
  flow: Flow | null;
  /** Of the endpoint: its flows, where the flow is not known. */
  definition: Definition;
  /** Of the result, which was stored for its size; null where there is no room for it. */
  storedAddress(bytes: number): string | null;
  /** Called once. */
  answer(answer: Answer): void;
}

/** For an execution that is on disk already. Times count from when the request was received. */
export function waitForAnswer({
  config,
  id,
  sender,
  flow,
  definition,
  ...options
}: WaitingAnswer): AnswerHooks {
  const executionId = toNodeId("InstanceExecutionResult", id);
  let status: number | null = null;
  let timer: NodeJS.Timeout | null = null;
  let kind: "routing" | "trigger" | "result" | "nothing" = "routing";

  const answer = (given: Answer) => {
    if (status !== null) return;
    if (timer !== null) clearTimeout(timer);
    status = given.status;
    options.answer(given);
  };
  const refuseWith = (code: ErrorCode, retryAfter: number | null = null) =>
    answer(refusal(code, sender.requestId, { ...(keyCodes.has(code) ? {} : { executionId }), retryAfter }));
  const answerAfter = (ms: number, then: () => void) => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(then, Math.max(0, ms - (Date.now() - sender.receivedAtMs)));
  };
  const accept = () => answer(acceptedAnswer(executionId));
  /** What the answer waits for once the flow is known. */
  const waitFor = (found: Flow) => {
    if (status !== null) return;
    if (isSynchronous(sender.headers, found)) {
      kind = "result";
      answerAfter(config.synchronousTimeoutMs, () => refuseWith("SYNCHRONOUS_TIMEOUT"));
    } else if (found.hasTriggerCode) {
      kind = "trigger";
      answerAfter(config.triggerResponseTimeoutMs, accept);
    } else {
      kind = "nothing";
      accept();
    }
  };
  if (flow !== null) waitFor(flow);
  else {
    const flows = routableFlows(definition);
    const mayTakeMs = flows.every((candidate) => isSynchronous(sender.headers, candidate))
      ? config.synchronousTimeoutMs
      : config.triggerResponseTimeoutMs;
    answerAfter(mayTakeMs, accept);
  }
  return {
    onRouted: waitFor,
    onNotRouted: refuseWith,
    onTriggerDone(response) {
      if (response !== null) {
        if (kind === "result" || kind === "trigger") answer(triggerAnswer(response, executionId));
      } else if (kind === "trigger") accept();
    },
    onTriggerFailed() {
      if (kind === "trigger") refuseWith("TRIGGER_FAILED");
    },
    onEnd(outcome) {
      if (kind === "result")
        answer(synchronousAnswer(outcome, executionId, sender.requestId, options.storedAddress));
      else if (kind === "trigger") accept();
    },
    needsResult: () => kind === "result" && status === null,
    status: () => status,
  };
}

/** Who may not come in is not told what became of the request. */
const keyCodes: ReadonlySet<ErrorCode> = new Set(["KEY_REFUSED", "TOO_MANY_WRONG_KEYS"]);

function isSynchronous(headers: Sender["headers"], flow: Flow): boolean {
  const header = headers.find(([name]) => name.toLowerCase() === "prismatic-synchronous")?.[1].toLowerCase();
  return header === "true" || (header !== "false" && flow.isSynchronous);
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
    status: answerStatus(response.statusCode),
    headers: [
      ["content-type", response.contentType || "application/json"],
      ...Object.entries(response.headers ?? {}).filter(isNotContentType),
      ["prismatic-executionid", executionId],
    ],
    body: response.body ?? JSON.stringify({ executionId }),
  };
}

/** The result is fetched by GET, whatever the webhook was sent by. */
const redirect = (address: string, executionId: string): Answer => ({
  status: 303,
  headers: [
    ["location", address],
    ["content-type", "application/json"],
    ["cache-control", "no-store"],
    ["prismatic-executionid", executionId],
  ],
  body: JSON.stringify({ executionId }),
});

function synchronousAnswer(
  outcome: Pick<RunOutcome, "status" | "result">,
  executionId: string,
  requestId: string,
  storedAddress: (bytes: number) => string | null,
): Answer {
  if (outcome.status === "FAILED") return refusal("FLOW_FAILED", requestId, { executionId });
  const result: RunResult = outcome.result ?? { data: undefined };
  if (result.stored !== undefined) {
    const address = result.stored === null ? null : storedAddress(result.stored.bytes);
    if (address === null) return refusal("RESULT_NOT_STORED", requestId, { executionId });
    return redirect(address, executionId);
  }
  const { body, contentType } = bodyOf(result.data, result.contentType);
  return {
    status: answerStatus(result.statusCode),
    headers: [
      ["content-type", contentType],
      ...Object.entries(result.headers ?? {}).filter(isNotContentType),
      ["prismatic-executionid", executionId],
    ],
    body,
  };
}
