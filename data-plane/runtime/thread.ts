/** A run thread: takes work, runs many flows at once, and sends what they report. Started by ../thread.ts. */
import { workerData } from "node:worker_threads";
import { messageOf } from "../../shared/errors.ts";
import { createCapture, currentRun, type RunCapture } from "./capture.ts";
import { refusingConfigVars } from "./configVars.ts";
import { componentOf } from "./context.ts";
import { RunError, runFlow } from "./flowRun.ts";
import { installGuards } from "./guards.ts";
import { lastWordsWriter } from "./lastWords.ts";
import {
  type FromThread,
  noReports,
  type PrepareWork,
  type RunWork,
  type ThreadStart,
  type ToThread,
  type TriggerOutcome,
  type WorkEnd,
} from "./messages.ts";
import { createModules } from "./modules.ts";
import { createRedactor } from "./redaction.ts";

const { port, shared, beatIntervalMs, progressIntervalMs, answerBytesMax, memoryMb } =
  workerData as ThreadStart;
// Flow code that looks for a way out finds no port: messages have one author.
for (const key of Object.keys(workerData)) delete workerData[key];

const lastWords = lastWordsWriter(shared);
const modules = createModules(memoryMb);
const running = new Map<number, RunCapture>();

const send = (message: FromThread) => port.postMessage(message);

installGuards({ onOutput: (text) => send({ kind: "output", text }) });
setInterval(() => lastWords.beat(), beatIntervalMs);
setInterval(sendProgress, progressIntervalMs);
port.on("message", (message: ToThread) => {
  if (message.kind === "stop") return running.get(message.id)?.fail(message.errorCode, message.error);
  lastWords.take();
  if (message.work.kind === "prepare") send({ kind: "end", id: message.id, end: prepare(message.work) });
  else startRunOrFail(message.id, message.work);
});
send({ kind: "ready" });

function startRunOrFail(id: number, work: RunWork): void {
  try {
    startRun(id, work);
  } catch (error) {
    const failed = {
      status: "FAILED",
      errorCode: "INTERNAL",
      error: messageOf(error),
      result: null,
    } as const;
    send({ kind: "end", id, end: { ...failed, endedAtMs: Date.now(), reports: noReports(), trigger: null } });
  }
}

function startRun(id: number, work: RunWork): void {
  let triggerHeld: TriggerOutcome | null = null;
  const configVars: Record<string, unknown> | null =
    work.configVarsJson === null ? null : JSON.parse(work.configVarsJson);
  const capture = createCapture({
    part: work.part,
    firstSequence: work.firstSequence,
    redactor: createRedactor({
      configVars,
      webhookApiKeys: work.attributes.webhookApiKeys,
      headers: work.request.headers,
    }),
    keepWord(word) {
      if (lastWords.write({ id, ...word })) return;
      sendProgress();
    },
    fail: (code, message) =>
      end({ status: "FAILED", errorCode: code, error: capture.shown(message), result: null }),
  });
  running.set(id, capture);

  function end(outcome: Pick<WorkEnd, "status" | "errorCode" | "error" | "result">): void {
    if (capture.isClosed()) return;
    capture.close();
    running.delete(id);
    const reports = capture.takeReports();
    send({ kind: "end", id, end: { ...outcome, endedAtMs: Date.now(), reports, trigger: triggerHeld } });
    if (running.size === 0) lastWords.clear();
  }

  currentRun.run(capture, () => {
    runFlow({
      work,
      capture,
      configVars: configVars ?? refusingConfigVars(),
      modules,
      memoryMb,
      answerBytesMax,
      onTrigger(outcome, isPassOn) {
        if (capture.isClosed()) return;
        // Nobody waits for the built-in triggers: their end travels with the run's.
        if (isPassOn) triggerHeld = outcome;
        else send({ kind: "trigger", id, outcome, reports: capture.takeReports() });
      },
    }).then(
      (result) => end({ status: "SUCCEEDED", errorCode: null, error: null, result }),
      (error) => {
        const errorCode = error instanceof RunError ? error.code : "INTERNAL";
        end({ status: "FAILED", errorCode, error: capture.shown(messageOf(error)), result: null });
      },
    );
  });
}

/** What was written so far; the copies in shared memory are not needed any more. */
function sendProgress(): void {
  for (const [id, capture] of running) {
    if (capture.hasReports()) send({ kind: "progress", id, reports: capture.takeReports() });
  }
  lastWords.clear();
}

function prepare(work: PrepareWork): WorkEnd {
  const end = { endedAtMs: Date.now(), result: null, reports: noReports(), trigger: null };
  try {
    for (const { flowName, isTrigger, action } of work.steps) {
      const component = componentOf(modules, work.bundles, action);
      const found = isTrigger ? component.triggers : component.actions;
      if (Object.hasOwn(found, action.key)) continue;
      const kind = isTrigger ? "trigger" : "action";
      throw new Error(`Flow "${flowName}": its component has no ${kind} "${action.key}".`);
    }
    return { ...end, status: "SUCCEEDED", errorCode: null, error: null };
  } catch (error) {
    return { ...end, status: "FAILED", errorCode: "BUNDLE_INVALID", error: messageOf(error) };
  }
}
