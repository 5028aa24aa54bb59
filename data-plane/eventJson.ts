/**
 * The JSON text of an `ExecutionEvent`, put together from texts that are there already: the run thread wrote the
 * logs, steps and the request, the target is the same for all runs of a flow of an instance. It goes as it is into
 * the journal and from there to the control plane.
 */
import type { ExecutionFinish, Retrying } from "../shared/reports.ts";
import type { EntryHead } from "./entryHead.ts";
import { fanOutMember } from "./fanOut.ts";
import type { ReportTexts } from "./runs.ts";

export interface EventParts {
  id: string;
  attempt: number;
  sequence: number;
  head: EntryHead;
  /** JSON of the `ExecutionTarget`. */
  targetJson: string;
  /** JSON of the `StoredRequest`, in the first event. */
  requestJson: string | null;
  retrying: Retrying | null;
  isQueued?: boolean;
  reports: ReportTexts;
  finish: ExecutionFinish | null;
  /** What follows from its end, for this data plane alone: see fanOut.ts. */
  fanOut: string | null;
}

export function eventJson({
  id,
  attempt,
  sequence,
  head,
  targetJson,
  requestJson,
  retrying,
  isQueued = false,
  reports,
  finish,
  fanOut,
}: EventParts): string {
  return `{"kind":"execution","id":"${id}","attempt":${attempt},"sequence":${sequence},"invokeType":"${head.invokeType}","startedAtMs":${head.receivedAtMs},"isDebug":${head.isDebug},"target":${targetJson},"request":${requestJson},"replayOf":${idJson(head.replayOf)},"invokedBy":${idJson(head.invokedBy)},${retryingJson(retrying)}${isQueued ? '"isQueued":true,' : ""}"steps":[${reports.steps}],"logs":[${reports.logs}],"sections":[${reports.sections}],"finish":${finishJson(finish)}${fanOut === null ? "" : fanOutMember(fanOut)}}`;
}

const idJson = (id: string | null): string => (id === null ? "null" : JSON.stringify(id));

const retryingJson = (retrying: Retrying | null): string =>
  retrying === null ? "" : `"retrying":${JSON.stringify(retrying)},`;

function finishJson(finish: ExecutionFinish | null): string {
  if (finish === null) return "null";
  const { error, errorCode, states, resultType } = finish;
  if (error !== null || errorCode !== null || states !== undefined || resultType !== undefined)
    return JSON.stringify(finish);
  return `{"status":"${finish.status}","endedAtMs":${finish.endedAtMs},"errorCode":null,"error":null,"answerStatus":${finish.answerStatus}}`;
}
