/**
 * From a journaled entry to its finished record: the preprocess part where there is one, the routing by its
 * result, the flow part; events of all that into the journal. Also what an earlier process left undone.
 *
 * The journal names what waits; what runs next is taken from the scheduler when a slot is free, read from the
 * journal only then, and handed to the run threads in batches. So a backlog of any length costs a small object an
 * entry.
 */
import type { Logger } from "pino";
import type { Config } from "../shared/config.ts";
import { flowByStableKey } from "../shared/definition.ts";
import { type ErrorCode, type ExecutionErrorCode, errorCatalogue, messageOf } from "../shared/errors.ts";
import { toNodeId } from "../shared/ids.ts";
import {
  type ExecutionEvent,
  type ExecutionFinish,
  type ExecutionPart,
  type ExecutionTarget,
  type LogSeverity,
  reportKey,
} from "../shared/reports.ts";
import { type AnswerHooks, waitForAnswer } from "./answers.ts";
import { keyRule } from "./authenticate.ts";
import { createCancels } from "./cancels.ts";
import { createDuplicates, queueKeyOfRouted } from "./duplicates.ts";
import { type EntryHead, readHead } from "./entryHead.ts";
import { eventJson } from "./eventJson.ts";
import { type FanOut, fanOutOf } from "./fanOut.ts";
import { createFifo } from "./fifo.ts";
import { createHolds, type HeldCode, type HeldVersion } from "./holds.ts";
import type { Answer } from "./ingress.ts";
import type { EntryMeta, EntryRoute } from "./journal/entry.ts";
import type { Journal, PendingEntry } from "./journal/journal.ts";
import { type KeyChecks, keyChecksOfCommands } from "./keyChecks.ts";
import { createPlans, type Plan, unknownTarget } from "./plans.ts";
import { createQueued } from "./queued.ts";
import { readQueueKey } from "./queueKeys.ts";
import { ReplicaDamagedError } from "./replica/file.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import type { Reporter } from "./reporter.ts";
import { type Route, routeByResult } from "./resolve.ts";
import { retryAfter, retryingOf } from "./retries.ts";
import { countEnd, newRunStats, type RunStats } from "./runStats.ts";
import {
  joined,
  logJson,
  noReports,
  type ReportTexts,
  type Run,
  type Runner,
  type RunOutcome,
} from "./runs.ts";
import type { StateTexts } from "./runtime/messages.ts";
import { requestJsonOf } from "./runtime/requestJson.ts";
import { createScheduler } from "./scheduler.ts";
import { asChanged, type StateChanges, withChanges } from "./states/changes.ts";
import { type RunStateKeys, stateKeysOf, withStates } from "./states/keys.ts";
import type { States } from "./states/states.ts";
import { createSuspects, type SuspectPlace } from "./suspects.ts";
import { withTraceparent } from "./traceContext.ts";
import type { RunTrace, Tracing } from "./tracing.ts";

export interface Executions {
  /** From now on entries are run; what was enqueued before, too. */
  begin(journal: Journal): void;
  /** The journal's `onEntry`. */
  enqueue(pending: PendingEntry): void;
  /** Makes an entry of a command durable and has it run; resolves when it is on disk, or was there already. */
  accept(meta: EntryMeta, body: Uint8Array | null): Promise<void>;
  /** The same for what nobody has asked for, so nobody is answered. */
  append(meta: EntryMeta, body: Uint8Array | null): Promise<void>;
  /** Ends an execution that never became an entry (a command that can't be carried out); resolves when it is on disk. */
  fail(
    event: Omit<ExecutionEvent, "kind" | "steps" | "logs" | "sections" | "finish">,
    code: ExecutionErrorCode,
    reason: string,
  ): Promise<void>;
  /** Ends an execution that waits or runs here; false where none of that id does, or it did not let itself be ended. */
  cancel(id: string): Promise<boolean>;
  /** The journal has handed out what earlier processes left: what waits for its flow's queue takes its place now. */
  onResumed(): void;
  /** The replica holds something again: entries that waited for it go on. */
  onReplicaReady(): void;
  /** Versions whose runs keep taking threads down. */
  held(): HeldVersion[];
  /** Ends the hold of a version. */
  release(versionId: string): void;
  /** Resolves when nothing runs or waits, or after `timeoutMs`; after that nothing new is begun. */
  drain(timeoutMs: number): Promise<void>;
  stats(): ExecutionsStats;
}

export interface ExecutionsStats extends RunStats {
  waiting: number;
  running: number;
  /** Waiting until the replica has been fetched anew. */
  waitingForReplica: number;
  /** Waiting while their version is held back. */
  heldBack: number;
  versionsHeldBack: number;
  /** Runs whose record the journal does not take now. */
  unrecorded: number;
}

/** What ended, for its log event and its span. */
export interface EndedExecution {
  id: string;
  attempt: number;
  finish: ExecutionFinish;
  head: EntryHead;
  metaJson: string;
  /** Null where what it was pinned to is gone. */
  plan: Plan | null;
  /** When its code began to run; 0 where it did not. */
  beganAtMs: number;
  thread: number | null;
  /** Logs and steps that were recorded. */
  records: number;
}

export interface ExecutionsOptions {
  config: Pick<
    Config,
    | "runThreads"
    | "runsPerThreadMax"
    | "instanceRunsMax"
    | "synchronousTimeoutMs"
    | "triggerResponseTimeoutMs"
    | "threadDeathsMax"
    | "threadDeathsWindowMs"
    | "holdBackMs"
    | "heldRunsMax"
    | "runBlockedTimeoutMs"
  >;
  replica: ReplicaReader;
  runner: Runner;
  reporter: Pick<Reporter, "notify">;
  logger: Logger;
  keyChecks: KeyChecks;
  /** What webhook URLs start with. */
  ingressUrl: () => string;
  /** Answers a sender that waits. */
  answer(logName: string, id: string, answer: Answer): void;
  /** The address of an execution's result that was stored; null where there is no room for it. */
  storedAddress(id: string, bytes: number): string | null;
  /** Whether the end of one is to be told of. */
  isObserved(status: ExecutionFinish["status"], id: string): boolean;
  onEnded(ended: EndedExecution): void;
  /** The event that ends an execution, and says what follows from it, is in the journal. */
  onFanOut(key: string, fanOut: FanOut): void;
  tracing: Tracing | null;
  states: States;
}

/** An execution that was running at this many deaths of the process is not run again. */
const crashesMax = 3;
const retryMs = 500;

/** An entry on its way. */
interface Task {
  readonly pending: PendingEntry;
  /** Of the slot that it waits for or has. */
  key: string;
  /** Known once it was read for the first time. */
  head: EntryHead | null;
  /** What runs next; null until it was read, and where what it was pinned to is gone. */
  plan: Plan | null;
  /** Held from the begin of a part to its end. */
  metaJson: string | null;
  body: Buffer | null;
  answers: AnswerHooks | null;
  /** Accepted by this process: its sender, or who would be, waits or was answered as soon as it was on disk. */
  isFresh: boolean;
  isStarted: boolean;
  isMarked: boolean;
  takenAtMs: number;
  /** When the first part was taken. */
  beganAtMs: number;
  thread: number | null;
  trace: RunTrace | null;
  events: number;
  /** What its trigger's results tell it from others by; null where it is not known. */
  uniqueRequestId: string | null;
  /** What follows from its end. */
  fanOut: FanOut | null;
  /** Not written yet. */
  reports: ReportTexts;
  requestJson: string | null;
  /** The event before the next one, while the journal does not take it. */
  writing: Promise<void> | null;
  /** Of one that may have taken an earlier process down. */
  suspectPlace: SuspectPlace | null;
  /** What its next part begins with; undefined until that is known. */
  states: StateTexts | null | undefined;
  /** What its preprocess part has changed. */
  stateChanges: StateChanges | null;
  /** It is charged with a slot of its key. */
  hasSlot: boolean;
}

const newTask = (pending: PendingEntry, isFresh: boolean): Task => ({
  pending,
  key: pending.fairKey,
  head: null,
  plan: null,
  metaJson: null,
  body: null,
  answers: null,
  isFresh,
  isStarted: false,
  isMarked: false,
  takenAtMs: 0,
  beganAtMs: 0,
  thread: null,
  trace: null,
  events: 0,
  uniqueRequestId: null,
  fanOut: null,
  reports: noReports(1),
  requestJson: null,
  writing: null,
  suspectPlace: null,
  states: undefined,
  stateChanges: null,
  hasSlot: false,
});

export function createExecutions(options: ExecutionsOptions): Executions {
  const { config, replica, runner, logger, reporter, tracing } = options;
  const slots = config.runThreads * config.runsPerThreadMax;
  const perKeyMax = config.instanceRunsMax || Math.max(1, Math.ceil(slots / 2));
  /** What was not begun waits as it is: a task for each would be most of what a backlog takes. */
  const scheduler = createScheduler<Task | PendingEntry>({ slots, perKeyMax, isBefore: cameBefore });
  const suspects = createSuspects<Task>((task, place) => {
    task.suspectPlace = place;
    if (task.hasSlot) {
      startAll([task]);
      return;
    }
    scheduler.enqueue(task.key, task);
    wake();
  });
  const duplicates = createDuplicates();
  const queued = createQueued(tellQueued);
  const cancels = createCancels({
    find: (id) => journal?.find(id) ?? null,
    takeOut(pending) {
      const taken = scheduler.takeOut(pending.fairKey, (item) => pendingOf(item) === pending);
      if (taken === undefined) return false;
      const task = "pending" in taken ? taken : newTask(taken, taken.logName !== null);
      task.hasSlot = true;
      queued.remove(pending);
      startAll([task]);
      return true;
    },
    stopRun: (id) => runner.cancel(id, canceledReason),
  });
  /** What waits for its flow's queue until the journal has handed out all that came before it. */
  let heldBack: PendingEntry[] | null = [];
  const plans = createPlans({ replica, compile: runner.compile, ingressUrl: options.ingressUrl });
  /** Entries of this process's commands, on their way through the journal. */
  const ownEntries = new Set<string>();
  const early = createFifo<PendingEntry>();
  const waitingForReplica: Task[] = [];
  const holds = createHolds<Task>({
    config,
    resume(tasks) {
      for (const task of tasks) scheduler.enqueue(task.key, task);
      wake();
    },
    onNotice: (message) => logger.warn(message),
  });
  const stats = newRunStats();
  let journal: Journal | null = null;
  let isWoken = false;
  let isStopped = false;
  let unrecorded = 0;
  let drained: (() => void) | null = null;

  function wake(): void {
    if (isWoken) return;
    isWoken = true;
    setImmediate(pump);
  }

  function pump(): void {
    isWoken = false;
    if (isStopped) return;
    const taken: Task[] = [];
    for (let next = scheduler.take(); next !== undefined; next = scheduler.take()) {
      const task = "pending" in next ? next : newTask(next, next.logName !== null);
      task.hasSlot = true;
      queued.remove(task.pending);
      // Of its flow's queue: its turn has come, and the others of the queue wait behind it.
      if (task.pending.isSuspect && task.suspectPlace === null) suspects.add(task);
      else taken.push(task);
    }
    if (taken.length > 0) startAll(taken);
    else noteIdle();
  }

  function noteIdle(): void {
    if (drained !== null && scheduler.running() === 0 && (scheduler.waiting() === 0 || slots === 0))
      drained();
  }

  function startAll(tasks: readonly Task[]): void {
    const ready: { task: Task; run: Run }[] = [];
    for (const task of tasks) {
      try {
        const run = prepare(task);
        if (run !== null) ready.push({ task, run });
      } catch (error) {
        // It stays in the journal for an operator to look at; the others must not wait for it.
        logger.error({ executionId: task.pending.id, reason: messageOf(error) }, unreadable);
        finish(task);
      }
    }
    if (ready.length > 0) startReady(ready);
  }

  function startReady(ready: readonly { task: Task; run: Run }[]): void {
    const fresh: PendingEntry[] = [];
    for (const { task } of ready) if (!task.isStarted) fresh.push(task.pending);
    try {
      if (fresh.length > 0) journal!.start(fresh);
    } catch (error) {
      if (journal!.isClosed()) return;
      warnOnce("runs wait: the journal does not take that they start", error);
      setTimeout(() => startReady(ready), retryMs).unref();
      return;
    }
    const runs: Run[] = [];
    for (const { task, run } of ready) {
      task.isStarted = true;
      task.takenAtMs = Date.now();
      if (task.beganAtMs === 0) task.beganAtMs = task.takenAtMs;
      task.suspectPlace?.begin();
      runs.push(run);
    }
    runner.start(runs);
  }

  let warnedAtMs = 0;
  function warnOnce(message: string, error: unknown): void {
    if (Date.now() - warnedAtMs < 60_000) return;
    warnedAtMs = Date.now();
    logger.error({ reason: messageOf(error) }, message);
  }

  /** The next part's run; null where the task ended or waits without one. Throws where it can't be read. */
  function prepare(task: Task): Run | null {
    const { pending } = task;
    read(task);
    if (cancels.has(pending.id)) {
      task.plan ??= tryFind(task);
      task.answers?.onEnd({ status: "FAILED", result: null });
      fail(task, "CANCELED", canceledReason);
      return null;
    }
    if (pending.crashes >= crashesMax) {
      const reason = `The process ended ${pending.crashes} times while this execution ran, so it is not run again by itself. Replay it when the cause is gone.`;
      // For the record's target.
      task.plan = tryFind(task);
      fail(task, "CRASH_LIMIT", reason);
      return null;
    }
    try {
      const plan = findPlan(task);
      if (plan === null) return null;
      task.plan = plan;
    } catch (error) {
      if (error instanceof ReplicaDamagedError) waitForReplica(task);
      else fail(task, "INTERNAL", messageOf(error));
      return null;
    }
    if (holds.isHolding() && !mayStart(task, task.plan)) return null;
    if (task.states === undefined && !hasStates(task, task.plan)) return null;
    if (!task.isStarted) {
      const nodeId = toNodeId("InstanceExecutionResult", pending.id);
      log(task, "FLOW", "INFO", `Starting Instance Execution ${nodeId}`);
    }
    if (tracing !== null) task.trace ??= tracing.begin(task.pending, task.head!, task.metaJson!);
    return runOf(task, task.plan);
  }

  /** False where its version is held back: it waits, or ended since somebody waits for it, or too many do. */
  function mayStart(task: Task, plan: Plan): boolean {
    const code = heldCodeOf(plan);
    const hold = holds.check(code);
    if (hold === null) return true;
    const isAwaited = task.answers?.needsResult() === true && task.answers.status() === null;
    if (!isAwaited && holds.park(code, task)) {
      task.suspectPlace?.leave();
      letGo(task);
    } else fail(task, "BUNDLE_HELD_BACK", hold.reason, hold.retryAfterSeconds);
    return false;
  }

  /** False where it waits for them, or ended since they can't be had. It keeps its slot: who comes after waits, too. */
  function hasStates(task: Task, plan: Plan): boolean {
    const keys = keysOf(task, plan);
    const { stateChanges } = task;
    const take = (stored: StateTexts | null) => {
      task.states = stateChanges === null ? stored : asChanged(stored, keys, stateChanges);
    };
    const stored = options.states.read(keys);
    if (!(stored instanceof Promise)) {
      take(stored);
      return true;
    }
    stored.then(
      (found) => {
        if (isStopped) return;
        take(found);
        startAll([task]);
      },
      (error) => {
        if (!isStopped) fail(task, "STATE_UNAVAILABLE", messageOf(error));
      },
    );
    return false;
  }

  const keysOf = (task: Task, { route, systemInstanceId }: Plan): RunStateKeys =>
    stateKeysOf({ ...route, systemInstanceId, isEndpointTest: task.head!.isEndpointTest });

  function tryFind(task: Task): Plan | null {
    try {
      return plans.find(task.head!.routeJson);
    } catch {
      return null;
    }
  }

  function read(task: Task): void {
    if (task.metaJson !== null) return;
    const { metaJson, body } = journal!.load(task.pending);
    task.metaJson = metaJson.toString("utf8");
    task.body = body;
    if (task.head !== null) return;
    task.head = readHead(task.metaJson);
    if (task.isFresh && task.head.isWaiting) makeAnswers(task, task.metaJson);
  }

  /** Null where the task waits for the replica, or ended since there is nothing to run any more. */
  function findPlan(task: Task): Plan | null {
    const known = task.plan === null ? plans.find(task.head!.routeJson) : plans.renew(task.plan);
    if (known !== null) return known;
    if (replica.position().epoch === "") {
      waitForReplica(task);
      return null;
    }
    const current = plans.findCurrent(task.plan?.route ?? routeOf(task));
    if (current.ok) {
      const note =
        "The version that this webhook was accepted with is not known any more: it runs on the present one.";
      log(task, current.plan.part, "WARN", note);
      return current.plan;
    }
    fail(task, current.code, current.reason);
    return null;
  }

  /** It was lost and comes anew: what is gone is not known before. */
  function waitForReplica(task: Task): void {
    letGo(task);
    waitingForReplica.push(task);
  }

  /** Its slot goes to another; it will be read again. */
  function letGo(task: Task): void {
    task.metaJson = null;
    task.body = null;
    release(task);
    wake();
  }

  function release(task: Task): void {
    if (!task.hasSlot) return;
    task.hasSlot = false;
    scheduler.release(task.key);
  }

  function runOf(task: Task, plan: Plan): Run {
    const { part } = plan;
    const meta =
      task.trace === null ? task.metaJson! : withTraceparent(task.metaJson!, task.trace.traceparent);
    return {
      context: plan.context,
      part,
      meta: task.states == null ? meta : withStates(meta, task.states),
      body: task.body,
      firstSequence: task.reports.nextSequence,
      needsResult: part === "PREPROCESS" || (task.answers?.needsResult() ?? false),
      needsRequest: task.events === 0 && part === "FLOW",
      // After a crash the mark is on disk before the code runs; else only once it has lasted, for it costs a write.
      beforeStart: task.pending.isSuspect && !task.isMarked ? () => markRunning(task) : null,
      hooks: {
        onTriggerDone(response, uniqueRequestId) {
          if (part !== "FLOW") return;
          task.answers?.onTriggerDone(response);
          if (uniqueRequestId === null) return;
          task.uniqueRequestId = uniqueRequestId;
          // Told at once: retries of older requests must not begin beside it.
          write(task, null);
        },
        onTriggerFailed() {
          if (part === "FLOW") task.answers?.onTriggerFailed();
        },
        onProgress(reports) {
          // Seen to run: should the process die now, it counts.
          if (!task.isMarked) markRunning(task).catch(() => {});
          collect(task, reports);
          write(task, null);
        },
        onCharged: (reason) => holds.charge(heldCodeOf(plan), reason),
        onEnd(outcome) {
          collect(task, outcome.reports);
          task.requestJson = outcome.requestJson;
          task.thread = outcome.thread;
          if (outcome.states != null)
            task.stateChanges = withChanges(task.stateChanges, keysOf(task, plan), outcome.states);
          if (part === "PREPROCESS") route(task, outcome);
          else {
            task.answers?.onEnd(outcome);
            end(task, outcome, {
              ...retryAfter(task.plan!, task.head!, outcome, sentStatus(task)),
              ...noteFindings(task, outcome),
            });
          }
        },
      },
    };
  }

  /** What its trigger said beside its results: of a list that it gave, other executions follow. */
  function noteFindings(
    task: Task,
    { findings, endedAtMs }: RunOutcome,
  ): Pick<ExecutionFinish, "resultType"> {
    const { batches, hasPolledNoChanges } = findings ?? {};
    if (batches !== undefined) {
      const meta = JSON.parse(task.metaJson!) as EntryMeta;
      task.fanOut = fanOutOf(task.plan!, meta, task.body, batches, endedAtMs);
    }
    return hasPolledNoChanges === true ? { resultType: "POLLED_NO_CHANGES" } : {};
  }

  /** What its sender was answered with, where one waits in this process. */
  const sentStatus = (task: Task): number | null =>
    task.pending.logName === null ? null : (task.answers?.status() ?? null);

  async function markRunning(task: Task): Promise<void> {
    task.isMarked = true;
    await journal!.markRunning(task.pending);
  }

  /** The preprocess part ended: on to the flow that it named. */
  function route(task: Task, outcome: RunOutcome): void {
    if (outcome.status === "FAILED") {
      fail(task, "PREPROCESS_FAILED", outcome.error ?? "The preprocess flow failed.");
      return;
    }
    try {
      const refused = routeOn(task, outcome);
      if (refused !== null) fail(task, refused.code, refused.reason, refused.retryAfter);
    } catch (error) {
      fail(task, "INTERNAL", messageOf(error));
    }
  }

  function routeOn(
    task: Task,
    outcome: RunOutcome,
  ): { code: ErrorCode; reason: string; retryAfter: number | null } | null {
    const routed = routeByOutcome(task, outcome);
    if (!routed.ok) return { ...routed, retryAfter: null };
    const { definition, flow, instance, integration } = routed.target;
    const { entity } = instance;
    const { request } = JSON.parse(task.metaJson!) as EntryMeta;
    const isSent = task.pending.logName !== null;
    const refused = (isSent ? options.keyChecks : keyChecksOfCommands).refuse(
      keyRule(definition.definition, flow, entity, integration.entity),
      flow.name,
      request,
      Date.now(),
    );
    if (refused !== null) return refused;
    if (!entity.isEnabled) {
      const reason = `The instance "${entity.name}" is paused.`;
      return { code: "INSTANCE_PAUSED", reason, retryAfter: null };
    }
    task.plan = plans.ofTarget(routed.target, task.plan!);
    task.states = undefined;
    task.answers?.onRouted(flow);
    // From here on its instance counts.
    const body = task.body;
    letGo(task);
    task.key = queueKeyOfRouted(entity.id, flow, request, body) ?? entity.id;
    const first = duplicates.enter(task.key, task.pending.id);
    if (first === null) scheduler.enqueue(task.key, task);
    else endDuplicate(task, first);
    return null;
  }

  function routeByOutcome(task: Task, outcome: RunOutcome): Route {
    const endpoint = plans.endpointOf(task.plan!);
    if (endpoint === null) throw new Error("The endpoint that the preprocess flow ran for is gone.");
    const testInstance = task.head!.isEndpointTest
      ? (replica.instance(endpoint.integration.entity.systemInstanceId) ?? undefined)
      : undefined;
    try {
      return routeByResult(
        replica,
        endpoint,
        outcome.result?.data,
        testInstance === undefined ? {} : { testInstance },
      );
    } catch (error) {
      return { ok: false, code: "CUSTOMER_NOT_FOUND", reason: messageOf(error), instance: null };
    }
  }

  const routeOf = (task: Task): EntryRoute => JSON.parse(task.head!.routeJson) as EntryRoute;

  function log(task: Task, part: ExecutionPart, severity: LogSeverity, message: string): void {
    const number = task.reports.nextSequence++;
    task.reports.logs = joined(task.reports.logs, logJson(part, number, severity, message));
  }

  /** Ends it without its flow's outcome: who waits is told the code. */
  function fail(
    task: Task,
    code: ExecutionErrorCode,
    reason: string,
    retryAfter: number | null = null,
  ): void {
    log(task, task.plan?.part ?? "FLOW", "ERROR", reason);
    if (isAnswerCode(code)) task.answers?.onNotRouted(code, retryAfter);
    end(task, { status: "FAILED", errorCode: code, error: reason, endedAtMs: Date.now() });
  }

  function end(
    task: Task,
    outcome: Pick<RunOutcome, "status" | "errorCode" | "error" | "endedAtMs">,
    more: Pick<ExecutionFinish, "retry" | "resultType"> = {},
  ): void {
    const { status, errorCode, error, endedAtMs } = outcome;
    const nodeId = toNodeId("InstanceExecutionResult", task.pending.id);
    log(task, "FLOW", status === "FAILED" ? "ERROR" : "INFO", `Ending Instance Execution ${nodeId}`);
    const answerStatus = task.answers !== null ? task.answers.status() : task.isFresh ? 200 : null;
    const finished: ExecutionFinish = {
      status,
      endedAtMs,
      errorCode,
      error,
      answerStatus,
      ...more,
    };
    const { stateChanges } = task;
    if (status === "SUCCEEDED" && stateChanges !== null && stateChanges.kept.size > 0)
      finished.states = options.states.writes(stateChanges);
    countEnd(stats, finished, task.takenAtMs);
    tell(task, finished);
    write(task, finished);
  }

  function tell(task: Task, finish: ExecutionFinish): void {
    const { pending, plan, beganAtMs, thread } = task;
    const { id, attempt } = pending;
    const isLogged = options.isObserved(finish.status, id);
    if (!isLogged && tracing === null) return;
    const [head, metaJson, records] = [task.head!, task.metaJson!, task.reports.nextSequence - 1];
    const ended = { id, attempt, finish, head, metaJson, plan, beganAtMs, thread, records };
    if (isLogged) options.onEnded(ended);
    if (tracing !== null) (task.trace ?? tracing.begin(pending, head, metaJson)).end(ended);
  }

  /** Events are taken by the journal in their order; the slot stays taken until the last one is. */
  function write(task: Task, finished: ExecutionFinish | null): void {
    const isFirst = task.events++ === 0;
    const { pending, head, plan } = task;
    const json = eventJson({
      id: pending.id,
      attempt: pending.attempt,
      sequence: task.events,
      head: head!,
      targetJson: plan?.targetJson ?? JSON.stringify(unknownTarget(routeOf(task))),
      requestJson: isFirst ? (task.requestJson ?? requestJsonOf(task.metaJson!, task.body)) : null,
      retrying: retryingOf(plan, head!, task.uniqueRequestId),
      reports: task.reports,
      finish: finished,
      fanOut: finished === null || task.fanOut === null ? null : JSON.stringify(task.fanOut),
    });
    const key = `${pending.id}/${pending.attempt}/${task.events}`;
    task.reports = noReports(task.reports.nextSequence);
    const isEnd = finished !== null;
    const states = finished?.states;
    const keep = () => report(pending, key, json, isEnd, states !== undefined);
    const writing = task.writing === null ? keep() : task.writing.then(keep);
    task.writing = writing;
    writing.then(
      () => {
        if (task.writing === writing) task.writing = null;
        if (states !== undefined) options.states.saved(key, pending.id, states);
        if (isEnd && task.fanOut !== null) options.onFanOut(key, task.fanOut);
        reporter.notify();
        if (isEnd) finish(task);
      },
      (error) => {
        logger.error(
          { executionId: pending.id, reason: messageOf(error) },
          "an execution could not be recorded",
        );
        if (isEnd) finish(task);
      },
    );
  }

  /** Rejects where the journal is closed. */
  function report(
    pending: PendingEntry,
    key: string,
    json: string,
    isEnd: boolean,
    hasStates: boolean,
  ): Promise<void> {
    const write = () => journal!.report(pending, key, json, isEnd, hasStates);
    return write().catch((error) => retryReport(write, error));
  }

  /** A full disk keeps the record in memory until there is room; its slot is taken, which bounds how many. */
  async function retryReport(write: () => Promise<void>, error: unknown): Promise<void> {
    unrecorded++;
    try {
      for (let problem = error; ; ) {
        if (journal!.isClosed()) throw problem;
        warnOnce("records wait: the journal does not take them", problem);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        try {
          return await write();
        } catch (again) {
          problem = again;
        }
      }
    } finally {
      unrecorded--;
    }
  }

  /** Gives back what it held. */
  function finish(task: Task): void {
    task.metaJson = null;
    task.body = null;
    task.requestJson = null;
    task.suspectPlace?.leave();
    duplicates.leave(task.key, task.pending.id);
    release(task);
    wake();
  }

  function enqueue(pending: PendingEntry): void {
    if (journal === null) {
      early.push(pending);
      return;
    }
    const isOwn = ownEntries.size > 0 && ownEntries.delete(pending.id);
    if (readQueueKey(pending.fairKey) !== null) {
      if (heldBack === null) enqueueInFlow(pending, isOwn);
      else heldBack.push(pending);
      return;
    }
    if (!isOwn && !pending.isWaiting && !pending.isSuspect) {
      scheduler.enqueue(pending.fairKey, pending);
      wake();
      return;
    }
    const task = newTask(pending, isOwn || pending.logName !== null);
    // Its time runs, whenever its turn comes.
    if (pending.isWaiting) readAhead(task);
    if (pending.isSuspect) {
      suspects.add(task);
      return;
    }
    scheduler.enqueue(task.key, task);
    wake();
  }

  function enqueueInFlow(pending: PendingEntry, isOwn: boolean): void {
    const first = duplicates.enter(pending.fairKey, pending.id);
    const needsTask = isOwn || pending.isWaiting || first !== null;
    const task = needsTask ? newTask(pending, isOwn || pending.logName !== null) : null;
    if (task !== null && first !== null) {
      endDuplicate(task, first);
      return;
    }
    if (task !== null && pending.isWaiting) readAhead(task);
    scheduler.enqueue(pending.fairKey, task ?? pending);
    queued.add(pending);
    wake();
  }

  /** For people to see; the record of its run does not depend on it, so it is told once and not again. */
  function tellQueued(pending: PendingEntry): void {
    const task = newTask(pending, false);
    try {
      read(task);
    } catch {
      return;
    }
    const plan = tryFind(task);
    const json = eventJson({
      id: pending.id,
      attempt: pending.attempt,
      sequence: 0,
      head: task.head!,
      targetJson: plan?.targetJson ?? JSON.stringify(unknownTarget(routeOf(task))),
      requestJson: null,
      retrying: retryingOf(plan, task.head!, null),
      isQueued: true,
      fanOut: null,
      reports: noReports(1),
      finish: null,
    });
    journal!
      .report(pending, `${pending.id}/${pending.attempt}/0`, json, false)
      .then(reporter.notify, (error) =>
        warnOnce("what waits is not told: the journal does not take it", error),
      );
  }

  /** It is recorded, and not run: one with the same id waits or runs. */
  function endDuplicate(task: Task, first: string): void {
    try {
      read(task);
      task.plan ??= tryFind(task);
    } catch (error) {
      logger.error({ executionId: task.pending.id, reason: messageOf(error) }, unreadable);
      return;
    }
    const nodeId = toNodeId("InstanceExecutionResult", first);
    log(
      task,
      "FLOW",
      "INFO",
      `Not run: ${nodeId}, which has the same id, waits or runs in this flow's queue.`,
    );
    task.answers?.onEnd({ status: "SUCCEEDED", result: null });
    end(
      task,
      { status: "SUCCEEDED", errorCode: null, error: null, endedAtMs: Date.now() },
      { resultType: "DUPLICATE" },
    );
  }

  function readAhead(task: Task): void {
    try {
      read(task);
    } catch {
      // Told when its turn comes.
    }
    task.metaJson = null;
    task.body = null;
  }

  function makeAnswers(task: Task, metaJson: string): void {
    const { id, logName } = task.pending;
    const { route, request } = JSON.parse(metaJson) as EntryMeta;
    const source = replica.definitionAt(route.generation, route.definitionDigest);
    const flow = source === null ? undefined : flowByStableKey(source.definition, route.flowStableKey);
    if (source === null || flow === undefined) return;
    task.answers = waitForAnswer({
      config,
      id,
      sender: request,
      flow: route.kind === "flow" ? flow : null,
      definition: source.definition,
      storedAddress: (bytes) => options.storedAddress(id, bytes),
      answer(answer) {
        if (logName !== null) options.answer(logName, id, answer);
      },
    });
  }

  return {
    begin(opened) {
      journal = opened;
      for (let pending = early.shift(); pending !== undefined; pending = early.shift()) enqueue(pending);
    },
    enqueue,
    async accept(meta, body) {
      ownEntries.add(meta.id);
      try {
        await journal!.append(meta, body);
      } finally {
        ownEntries.delete(meta.id);
      }
    },
    async append(meta, body) {
      await journal!.append(meta, body);
    },
    async fail(event, code, reason) {
      const endedAtMs = Date.now();
      const answerStatus = isAnswerCode(code) ? errorCatalogue[code].status : null;
      const failedEvent: ExecutionEvent = {
        ...event,
        kind: "execution",
        steps: [],
        logs: [JSON.parse(logJson("PREPROCESS", 1, "ERROR", reason))],
        sections: [],
        finish: { status: "FAILED", endedAtMs, errorCode: code, error: reason, answerStatus },
      };
      await journal!.report(null, reportKey(failedEvent), JSON.stringify(failedEvent), true);
      reporter.notify();
    },
    cancel: cancels.cancel,
    onResumed() {
      const held = heldBack ?? [];
      heldBack = null;
      for (const pending of held.sort((a, b) => (cameBefore(a, b) ? -1 : 1)))
        enqueueInFlow(pending, ownEntries.delete(pending.id));
    },
    held: holds.held,
    release: holds.release,
    onReplicaReady() {
      for (const task of waitingForReplica.splice(0)) scheduler.putBack(task.key, task);
      wake();
    },
    async drain(timeoutMs) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        drained = () => {
          clearTimeout(timer);
          resolve();
        };
        wake();
      });
      isStopped = true;
      holds.stop();
    },
    stats: () => ({
      ...stats,
      waiting: scheduler.waiting() + suspects.waiting(),
      running: scheduler.running(),
      waitingForReplica: waitingForReplica.length,
      heldBack: holds.waiting(),
      versionsHeldBack: holds.held().length,
      unrecorded,
    }),
  };

  function collect(task: Task, reports: ReportTexts): void {
    const held = task.reports;
    held.logs = joined(held.logs, reports.logs);
    held.steps = joined(held.steps, reports.steps);
    held.sections = joined(held.sections, reports.sections);
    held.nextSequence = Math.max(held.nextSequence, reports.nextSequence);
  }
}

const canceledReason = "It was canceled.";
const unreadable = "an entry of the journal can't be read";

const cameBefore = (one: Task | PendingEntry, other: Task | PendingEntry): boolean => {
  const [a, b] = [pendingOf(one), pendingOf(other)];
  return a.acceptedAtMs === b.acceptedAtMs ? a.id < b.id : a.acceptedAtMs < b.acceptedAtMs;
};

const pendingOf = (item: Task | PendingEntry): PendingEntry => ("pending" in item ? item.pending : item);

const heldCodeOf = (plan: Plan): HeldCode => {
  const { integrationId, versionId } = JSON.parse(plan.targetJson) as ExecutionTarget;
  return { integrationId, versionId, definitionDigest: plan.route.definitionDigest };
};

const isAnswerCode = (code: ExecutionErrorCode): code is ErrorCode => code in errorCatalogue;
