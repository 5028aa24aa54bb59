/**
 * A run thread: takes batches of runs, runs many flows at once, and sends what they report. Started by
 * ../thread.ts.
 *
 * Each run of a batch begins in a callback of its own (`setImmediate`), so that a short one is over before the
 * next begins, and one that blocks takes few with it. Ends that nobody waits for are sent together, at the end
 * of the loop's turn; they stand in shared memory until then.
 */
import { workerData } from "node:worker_threads";
import { messageOf } from "../../shared/errors.ts";
import { createCapture, currentRun, type RunCapture } from "./capture.ts";
import { refusingConfigVars } from "./configVars.ts";
import { componentOf } from "./context.ts";
import { createContexts, type ThreadContext } from "./contexts.ts";
import { callDataSource } from "./dataSource.ts";
import { runFlow } from "./flowRun.ts";
import { installGuards } from "./guards.ts";
import { lastWordsWriter } from "./lastWords.ts";
import { installLeftovers } from "./leftovers.ts";
import type {
  DataSourceWork,
  FromThread,
  PlainEnds,
  PrepareWork,
  RunMeta,
  RunResult,
  ThreadStart,
  ToThread,
  TriggerFindings,
  TriggerOutcome,
  WorkEnd,
} from "./messages.ts";
import { createModules } from "./modules.ts";
import { installOutbound } from "./outbound.ts";
import { createPulse } from "./pulse.ts";
import { createRedactor, secretsOf, withHeaderSecrets } from "./redaction.ts";
import { requestJsonOf } from "./requestJson.ts";
import { decodeRuns, type ReceivedRun } from "./runBatch.ts";
import { RunError } from "./runError.ts";
import { openRunStates } from "./states.ts";

const {
  port,
  shared,
  beatIntervalMs,
  progressIntervalMs,
  answerBytesMax,
  storedResults,
  memoryMb,
  outbound: outboundSettings,
} = workerData as ThreadStart;
// Flow code that looks for a way out finds no port: messages have one author.
for (const key of Object.keys(workerData)) delete workerData[key];

const lastWords = lastWordsWriter(shared);
const modules = createModules(memoryMb);
const contexts = createContexts();
/**
 * By id. A Map that grows and shrinks all the time leaves old tables behind, which keep what stood in them until the
 * next full collection: so a run's place is emptied when it ends.
 */
const running = new Map<number, RunPlace>();
let plainEnds: PlainEnds = [];
/** A run's words are copied again when room is made, so what is left must be worth it. */
const fillMax = 0.5;

type Ended = Pick<WorkEnd, "status" | "errorCode" | "error" | "result" | "states" | "findings">;

interface RunPlace {
  capture: RunCapture | null;
}

// Flow code may put others in their place.
const { setImmediate } = globalThis;
const { parse } = JSON;
const send = (message: FromThread) => port.postMessage(message);

installGuards({ onOutput: (text) => send({ kind: "output", text }) });
// Before the leftovers: what is refused is not left.
const outbound = await installOutbound(outboundSettings);
const leftovers = installLeftovers();
let isWorn = false;
const pulse = createPulse({
  beatMs: beatIntervalMs,
  progressMs: progressIntervalMs,
  beat: lastWords.beat,
  progress: () => sendProgress(progressIntervalMs / 2),
  // What was left may block it before the next run comes.
  isQuiet: () => running.size === 0 && leftovers.isNone(),
  onRest: lastWords.rest,
});
port.on("message", (message: ToThread) => {
  switch (message.kind) {
    case "runs": {
      const runs = decodeRuns(message.batch);
      for (const run of runs) setImmediate(begin, run, contexts.context(run.context), runs.length === 1);
      return;
    }
    case "prepare":
      setImmediate(beginPrepare, message.id, message.work);
      return;
    case "stop":
      running.get(message.id)?.capture?.fail(message.errorCode, message.error);
      return;
    default:
      contexts.take(message);
  }
});
send({ kind: "ready" });

function begin(run: ReceivedRun, context: ThreadContext, isAlone: boolean): void {
  take();
  try {
    startRun(run, context, isAlone);
  } catch (error) {
    sendEnd(run.id, { ...failedEnd("INTERNAL", messageOf(error)), endedAtMs: Date.now() });
  }
}

function take(): void {
  lastWords.take();
  pulse.wake();
}

const failedEnd = (errorCode: WorkEnd["errorCode"], error: string) => ({
  status: "FAILED" as const,
  errorCode,
  error,
  result: null,
  reports: null,
  requestJson: null,
  trigger: null,
});

function startRun(run: ReceivedRun, context: ThreadContext, isAlone: boolean): void {
  const { id } = run;
  outbound.allowIngress(context.ingressUrl);
  const meta = parse(run.meta) as RunMeta;
  const body = run.body === null ? null : isAlone ? run.body : ownCopy(run.body);
  let triggerHeld: TriggerOutcome | null = null;
  const configVars = context.freshConfigVars();
  const secrets = withHeaderSecrets(context.secrets, meta.request.headers);
  const capture = createCapture({
    part: context.part,
    firstSequence: run.firstSequence,
    redactor: secrets === context.secrets ? context.redactor : createRedactor(secrets),
    writeWord: (kind, number, json) => lastWords.write(id, kind, number, json),
    onNoRoom: makeRoom,
    fail: (code, message) => end(failedEnd(code, capture.shown(message))),
  });
  const states = openRunStates(meta.states);
  const findings: TriggerFindings = {};
  const place: RunPlace = { capture };
  running.set(id, place);

  /** What is closed with the last answer is closed some turns later, so what seems to be left is looked at again. */
  function endSettled(outcome: Ended): void {
    if (leftovers.describe(capture) === null) end(outcome);
    else setImmediate(() => setImmediate(end, outcome));
  }

  function end(outcome: Ended): void {
    if (capture.isClosed()) return;
    const left = leftovers.describe(capture);
    if (left !== null) {
      capture.log("WARN", [left], null);
      keepLeft(capture);
    }
    capture.close();
    running.delete(id);
    place.capture = null;
    const endedAtMs = Date.now();
    const requestJson = run.needsRequest ? requestJsonOf(run.meta, body) : null;
    const reports = capture.takeReports();
    const hasMore = outcome.states != null || outcome.findings !== undefined;
    if (outcome.status === "FAILED" || run.needsResult || hasMore) {
      sendEnd(id, { ...outcome, endedAtMs, reports, requestJson, trigger: triggerHeld });
      if (running.size === 0) lastWords.clear();
      return;
    }
    const { nextSequence, sectionCount, logs, steps, sections } = reports;
    if (plainEnds.length === 0) setImmediate(sendPlainEnds);
    plainEnds.push(id, endedAtMs, nextSequence, sectionCount, logs, steps, sections, requestJson);
    if (!lastWords.write(id, "end", nextSequence, String(endedAtMs))) makeRoom();
  }

  /** Of what can't be kept its log tells. */
  function changedStates(): WorkEnd["states"] {
    try {
      return states.changed();
    } catch (error) {
      capture.log("ERROR", [messageOf(error)]);
      throw error;
    }
  }

  currentRun.run(capture, () => {
    runFlow({
      id: meta.id,
      request: meta.request,
      traceparent: meta.traceparent,
      body,
      isDebug: meta.isDebug,
      needsResult: run.needsResult,
      context,
      capture,
      configVars: configVars ?? refusingConfigVars(),
      states: states.values,
      modules,
      memoryMb,
      answerBytesMax,
      findings,
      storedResults,
      onTrigger(outcome, isPassOn) {
        if (capture.isClosed()) return;
        // Nobody waits for the built-in triggers: their end travels with the run's.
        if (isPassOn && !(outcome.ok && outcome.uniqueRequestId !== undefined)) triggerHeld = outcome;
        else send({ kind: "trigger", id, outcome, reports: capture.takeReports() });
      },
    })
      .then((result: RunResult | null) => {
        endSettled({
          status: "SUCCEEDED",
          errorCode: null,
          error: null,
          result,
          states: changedStates(),
          ...(Object.keys(findings).length === 0 ? {} : { findings }),
        });
      })
      .catch((error: unknown) => {
        const errorCode = error instanceof RunError ? error.code : "INTERNAL";
        endSettled({ status: "FAILED", errorCode, error: capture.shown(messageOf(error)), result: null });
      });
  });
}

/** Timers and connections that nobody closes add up: at their bound a new thread takes over. */
function keepLeft(capture: RunCapture): void {
  leftovers.keep(capture);
  if (isWorn || !leftovers.isTooMuch()) return;
  isWorn = true;
  send({ kind: "worn" });
}

/** In memory of its own: flow code that keeps a part of the body would keep the whole batch, and see it. */
function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.from(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** What ended before is told before, or a death right after would make it run again. */
function sendEnd(id: number, end: WorkEnd): void {
  sendPlainEnds();
  send({ kind: "end", id, end });
}

function sendPlainEnds(): void {
  if (plainEnds.length === 0) return;
  send({ kind: "ends", ends: plainEnds });
  plainEnds = [];
  if (running.size === 0) lastWords.clear();
}

/** Shared memory is full, mostly of runs that have ended: those are sent, and the others written anew. */
function makeRoom(): void {
  sendPlainEnds();
  lastWords.clear();
  for (const { capture } of running.values()) {
    if (capture === null || capture.keepWordsAgain()) continue;
    sendProgress(0);
    return;
  }
  if (lastWords.fill() > fillMax) sendProgress(0);
}

/** What was written so far by runs that have lasted; its copies in shared memory are not needed any more. */
function sendProgress(ageMs: number): void {
  sendPlainEnds();
  const beganBefore = Date.now() - ageMs;
  let isAll = true;
  for (const [id, { capture }] of running) {
    if (capture === null || !capture.hasReports()) continue;
    if (capture.startedAtMs <= beganBefore) send({ kind: "progress", id, reports: capture.takeReports() });
    else isAll = false;
  }
  lastWords.clear();
  if (isAll) return;
  for (const { capture } of running.values()) capture?.keepWordsAgain();
}

function beginPrepare(id: number, work: PrepareWork): void {
  take();
  const end = prepare(work);
  if (work.dataSource === undefined || end.status === "FAILED") sendEnd(id, end);
  else startDataSource(id, work.bundles, work.dataSource);
}

/** Like a run of its own, so that what it does to the thread is charged to it. */
function startDataSource(id: number, bundles: PrepareWork["bundles"], work: DataSourceWork): void {
  const capture = createCapture({
    part: "FLOW",
    firstSequence: 0,
    redactor: createRedactor(secretsOf(work.configVars, {})),
    writeWord: (kind, number, json) => lastWords.write(id, kind, number, json),
    onNoRoom: makeRoom,
    fail: (code, message) => end(failedEnd(code, capture.shown(message))),
  });
  const place: RunPlace = { capture };
  running.set(id, place);
  function end(outcome: Omit<WorkEnd, "endedAtMs">): void {
    if (capture.isClosed()) return;
    capture.close();
    running.delete(id);
    place.capture = null;
    sendEnd(id, { ...outcome, endedAtMs: Date.now() });
    if (running.size === 0) lastWords.clear();
  }
  currentRun.run(capture, () => {
    callDataSource({ bundles, work, modules, capture, memoryMb }).then(
      (data) => end({ ...failedEnd(null, ""), status: "SUCCEEDED", error: null, result: { data } }),
      (error: unknown) => end(failedEnd("INTERNAL", capture.shown(messageOf(error)))),
    );
  });
}

function prepare(work: PrepareWork): WorkEnd {
  const endedAtMs = Date.now();
  try {
    for (const { flowName, isTrigger, action } of work.steps) {
      const component = componentOf(modules, work.bundles, action);
      const found = isTrigger ? component.triggers : component.actions;
      if (Object.hasOwn(found, action.key)) continue;
      const kind = isTrigger ? "trigger" : "action";
      throw new Error(`Flow "${flowName}": its component has no ${kind} "${action.key}".`);
    }
    return { ...failedEnd(null, ""), status: "SUCCEEDED", error: null, endedAtMs };
  } catch (error) {
    return { ...failedEnd("BUNDLE_INVALID", messageOf(error)), endedAtMs };
  }
}
