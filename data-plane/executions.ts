/**
 * From a journaled entry to its finished record: the preprocess part where there is one, the routing by its
 * result, the flow part; events of all that into the journal. Also what an earlier process left undone.
 */
import type { Logger } from "pino";
import { type Flow, flowByStableKey } from "../shared/definition.ts";
import { type ErrorCode, type ExecutionErrorCode, errorCatalogue, messageOf } from "../shared/errors.ts";
import type { CustomerUserEntity, InstanceEntity, IntegrationEntity } from "../shared/feed.ts";
import { toNodeId } from "../shared/ids.ts";
import type {
  ExecutionEvent,
  ExecutionFinish,
  ExecutionPart,
  ExecutionTarget,
  LogReport,
  SectionReport,
  StepReport,
} from "../shared/reports.ts";
import { keyRule, type SentKeys } from "./authenticate.ts";
import { createFifo } from "./fifo.ts";
import type { Entry, Journal, RecoveredEntry } from "./journal.ts";
import { type KeyChecks, keyChecksOfCommands } from "./keyChecks.ts";
import {
  type CompiledDefinition,
  type CompiledInstance,
  type CompiledIntegration,
  compileDefinition,
  type Pin,
  type Replica,
} from "./replica.ts";
import type { Reporter } from "./reporter.ts";
import { type Endpoint, type Route, routeByResult, type Target } from "./resolve.ts";
import type { HttpResponse, Runner, RunOutcome, RunRequest } from "./runs.ts";
import { webhookUrlsOf } from "./webhookUrls.ts";

/** An entry with what its pins stand for. */
export interface Execution {
  entry: Entry;
  endpoint: Endpoint;
  /** Known for an entry whose route is a flow; found by the preprocess flow else. */
  target: Target | null;
  /** The keys that were sent, for the check of the target's: in memory only, so not after a restart. */
  keys?: SentKeys;
}

/** What an answer may wait for. Each is called at most once. */
export interface ExecutionHooks {
  /** The preprocess part ended and a flow was found. */
  onRouted?(target: Target): void;
  /** The preprocess part failed, or what it named is not there, or its key is wrong, or it is paused. */
  onNotRouted?(code: ErrorCode, retryAfter: number | null): void;
  /** The target's trigger ended; with the response that it gave. */
  onTriggerDone?(response: HttpResponse | null): void;
  onTriggerFailed?(): void;
  onEnd?(outcome: RunOutcome): void;
  /** The answer is the flow's result. */
  needsResult?: boolean;
  /** The HTTP status that the sender got, asked at the end. */
  answerStatus?(): number | null;
}

export interface Executions {
  /** Makes an entry durable, then runs it. Resolves when it is on disk; rejects with `JournalFullError`. */
  accept(execution: Execution, hooks: ExecutionHooks): Promise<void>;
  /** Ends an execution that never became an entry (a command that can't be carried out). */
  fail(
    event: Omit<ExecutionEvent, "kind" | "steps" | "logs" | "sections" | "finish">,
    code: ExecutionErrorCode,
    reason: string,
  ): Promise<void>;
  /** Runs what an earlier process left. */
  recover(): void;
  running(): number;
  /** Resolves when nothing runs, or after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

export interface ExecutionsOptions {
  journal: Journal;
  replica: Replica;
  runner: Runner;
  reporter: Reporter;
  logger: Logger;
  keyChecks: KeyChecks;
  /** What webhook URLs start with. */
  ingressUrl: () => string;
}

/** What is in memory at once; the rest waits in the journal. */
const heldAbove = { entries: 2_000, bytes: 128 * 1024 * 1024 };
const claimMost = 200;
/** An execution that was running at this many deaths of the process is not run again. */
const crashesMax = 3;
/**
 * After a crash only this many of those that may be its cause start at once, each with its mark on disk, so
 * that the next crash is blamed on few. One that has run for a while makes room for the next.
 */
const suspectsAtOnce = 4;
const suspectWatchMs = 1_000;
const reportRetryMs = 500;

export function createExecutions(options: ExecutionsOptions): Executions {
  const { journal, logger } = options;
  const inMemory = { entries: 0, bytes: 0 };
  const heldHooks = new Map<string, ExecutionHooks>();
  let mayHaveHeld = false;
  let isClaiming = false;
  let drained: (() => void) | null = null;

  const suspectSlots = createSlots(suspectsAtOnce);

  const runSuspect = async (run: () => Promise<void>) => {
    const release = await suspectSlots.take();
    const timer = setTimeout(release, suspectWatchMs);
    try {
      await run();
    } finally {
      clearTimeout(timer);
      release();
    }
  };

  const isFull = () => inMemory.entries >= heldAbove.entries || inMemory.bytes >= heldAbove.bytes;

  const start = (execution: Execution, hooks: ExecutionHooks, crashes: number) => {
    const bytes = execution.entry.body?.byteLength ?? 0;
    inMemory.entries++;
    inMemory.bytes += bytes;
    const run = () => runEntry(options, execution, hooks, crashes);
    void (execution.entry.isSuspect ? runSuspect(run) : run())
      .catch((error) =>
        logger.error(
          { executionId: execution.entry.id, reason: messageOf(error) },
          "an execution could not be recorded",
        ),
      )
      .finally(() => {
        inMemory.entries--;
        inMemory.bytes -= bytes;
        claimMore();
        if (inMemory.entries === 0) drained?.();
      });
  };

  const startRecovered = (found: RecoveredEntry) => {
    const hooks = heldHooks.get(found.entry.id) ?? {};
    heldHooks.delete(found.entry.id);
    try {
      start(restore(found), hooks, found.crashes);
    } catch (error) {
      // It stays in the journal for an operator to look at; the others must not wait for it.
      logger.error(
        { executionId: found.entry.id, reason: messageOf(error) },
        "an entry of the journal can't be read",
      );
    }
  };

  const claimMore = () => {
    if (!mayHaveHeld || isClaiming || isFull()) return;
    isClaiming = true;
    journal
      .claim(claimMost)
      .then((recovered) => {
        mayHaveHeld = recovered.length > 0;
        for (const found of recovered) startRecovered(found);
      })
      .catch((error) => logger.error({ reason: messageOf(error) }, "the journal could not be read"))
      .finally(() => {
        isClaiming = false;
        if (mayHaveHeld && !isFull()) claimMore();
      });
  };

  return {
    async accept(execution, hooks) {
      const isHeld = isFull();
      if (isHeld) heldHooks.set(execution.entry.id, hooks);
      let isNew = false;
      try {
        isNew = await journal.append(execution.entry, pinsOf(execution), isHeld);
      } finally {
        if (!isNew) heldHooks.delete(execution.entry.id);
      }
      if (!isNew) return;
      if (!isHeld) return start(execution, hooks, 0);
      mayHaveHeld = true;
      claimMore();
    },
    async fail(event, code, reason) {
      const finish: ExecutionFinish = {
        status: "FAILED",
        endedAtMs: Date.now(),
        errorCode: code,
        error: reason,
        answerStatus: code in errorCatalogue ? errorCatalogue[code as ErrorCode].status : null,
      };
      const log: LogReport = {
        part: "PREPROCESS",
        sequence: 1,
        atMs: finish.endedAtMs,
        severity: "ERROR",
        message: reason,
        stepName: null,
        sectionId: null,
      };
      await journal.report(
        { ...event, kind: "execution", steps: [], logs: [log], sections: [], finish },
        true,
      );
      options.reporter.notify();
    },
    recover() {
      mayHaveHeld = true;
      claimMore();
    },
    running: () => inMemory.entries,
    async drain(timeoutMs) {
      if (inMemory.entries === 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
  };
}

/** `take` resolves with a function that gives the slot back; calling it again does nothing. */
function createSlots(count: number): { take(): Promise<() => void> } {
  const waiting = createFifo<() => void>();
  let free = count;
  const giveBack = () => {
    const next = waiting.shift();
    if (next === undefined) free++;
    else next();
  };
  return {
    async take() {
      if (free > 0) free--;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      let isTaken = true;
      return () => {
        if (isTaken) giveBack();
        isTaken = false;
      };
    },
  };
}

/** What the journal must keep for the entry: its definition, integration and instance as they are now. */
function pinsOf({ endpoint, target }: Execution): Pin[] {
  const pins = [(target?.definition ?? endpoint.source).pin, endpoint.integration.pin];
  const instance = target?.instance ?? endpoint.instance;
  if (instance !== null) pins.push(instance.pin);
  return pins;
}

/** The execution that a journaled entry stands for, from its pins alone. */
function restore({ entry, pins }: RecoveredEntry): Execution {
  const { route } = entry;
  const source: CompiledDefinition = compileDefinition(route.definitionDigest, pins[route.definitionPin]!);
  const integration: CompiledIntegration = restoreEntity<IntegrationEntity>(route.integrationPin, pins);
  const instance: CompiledInstance | null =
    route.instancePin === null ? null : restoreEntity<InstanceEntity>(route.instancePin, pins);
  const flow = flowByStableKey(source.definition, route.flowStableKey)!;
  const endpoint: Endpoint = {
    kind: route.endpointKind,
    source,
    versionId: route.versionId,
    versionNumber: route.versionNumber,
    integration,
    instance,
    keyInstance: instance,
    flow: route.endpointKind === "flow" ? flow : null,
    preprocessFlow: route.kind === "preprocess" ? flow : null,
  };
  if (route.kind === "preprocess" || instance === null) return { entry, endpoint, target: null };
  const user = instance.entity.customer.users.find((candidate) => candidate.id === route.userId) ?? null;
  return { entry, endpoint, target: { definition: source, instance, integration, flow, user } };
}

const restoreEntity = <Entity>(key: string, pins: Record<string, string>): { entity: Entity; pin: Pin } => ({
  entity: JSON.parse(pins[key]!) as Entity,
  pin: { key, json: pins[key]! },
});

/** Runs one entry to its end. Rejects only where the journal does not take the record. */
async function runEntry(
  options: ExecutionsOptions,
  execution: Execution,
  hooks: ExecutionHooks,
  crashes: number,
): Promise<void> {
  const record = openRecord(options, execution);
  if (crashes >= crashesMax) {
    const reason = `The process ended ${crashes} times while this execution ran, so it is not run again by itself. Replay it when the cause is gone.`;
    return record.end(failed("CRASH_LIMIT", reason), hooks);
  }
  record.log("FLOW", "INFO", `Starting Instance Execution ${record.nodeId}`);
  let { target } = execution;
  if (target === null) {
    const routed = await preprocess(options, execution, record);
    if (!routed.ok) {
      hooks.onNotRouted?.(routed.code, routed.retryAfter);
      return record.end(failed(routed.code, routed.reason), hooks);
    }
    target = routed.target;
    record.setTarget(target);
    hooks.onRouted?.(target);
  }
  const outcome = await record.run("FLOW", runRequestOf(options, execution, target), hooks);
  await record.end(outcome, hooks);
}

type Preprocessed =
  | { ok: true; target: Target }
  | { ok: false; code: ErrorCode; reason: string; retryAfter: number | null };

async function preprocess(
  options: ExecutionsOptions,
  execution: Execution,
  record: ExecutionRecord,
): Promise<Preprocessed> {
  const { endpoint, entry } = execution;
  const outcome = await record.run("PREPROCESS", preprocessRequestOf(options, execution), {});
  if (outcome.status === "FAILED") {
    return refused(record, "PREPROCESS_FAILED", outcome.error ?? "The preprocess flow failed.");
  }
  const route = routeWith(options.replica, endpoint, entry, outcome.result?.data);
  if (!route.ok) return refused(record, route.code, route.reason);
  const { definition, flow, instance, integration } = route.target;
  const isSent = entry.invokeType !== "REPLAY" && entry.invokeType !== "TEST_ENDPOINT" && entry.attempt === 1;
  const keyRefusal = (isSent ? options.keyChecks : keyChecksOfCommands).refuse(
    keyRule(definition.definition, flow, instance.entity, integration.entity),
    flow.name,
    { ...entry.request, keys: execution.keys ?? { hmacs: entry.request.keyHmacs, texts: [] } },
    Date.now(),
  );
  // The keys themselves have done their part.
  delete execution.keys;
  if (keyRefusal !== null) return refused(record, keyRefusal.code, keyRefusal.reason, keyRefusal.retryAfter);
  if (!instance.entity.isEnabled)
    return refused(record, "INSTANCE_PAUSED", `The instance "${instance.entity.name}" is paused.`);
  return { ok: true, target: route.target };
}

function refused(
  record: ExecutionRecord,
  code: ErrorCode,
  reason: string,
  retryAfter: number | null = null,
): Preprocessed {
  record.log("PREPROCESS", "ERROR", reason);
  return { ok: false, code, reason, retryAfter };
}

function routeWith(replica: Replica, endpoint: Endpoint, entry: Entry, result: unknown): Route {
  const testInstance = entry.isEndpointTest
    ? (replica.instance(endpoint.integration.entity.systemInstanceId) ?? undefined)
    : undefined;
  try {
    return routeByResult(replica, endpoint, result, testInstance === undefined ? {} : { testInstance });
  } catch (error) {
    return { ok: false, code: "CUSTOMER_NOT_FOUND", reason: messageOf(error), instance: null };
  }
}

function runRequestOf(options: ExecutionsOptions, { entry }: Execution, target: Target): RunRequest {
  const { instance, integration, definition, flow, user } = target;
  return {
    ...requestOf(options, entry),
    part: "FLOW",
    definition: definition.definition,
    definitionDigest: definition.digest,
    flow,
    instance: instance.entity,
    integration: integration.entity,
    versionId: instance.entity.versionId,
    versionNumber: instance.entity.versionNumber,
    customerUser: user,
    webhookUrls: webhookUrlsOf(
      options.ingressUrl(),
      definition.definition,
      instance.entity,
      integration.entity,
    ),
  };
}

function preprocessRequestOf(options: ExecutionsOptions, { entry, endpoint }: Execution): RunRequest {
  const { source, integration, instance, versionId, versionNumber } = endpoint;
  return {
    ...requestOf(options, entry),
    part: "PREPROCESS",
    definition: source.definition,
    definitionDigest: source.digest,
    flow: endpoint.preprocessFlow as Flow,
    instance: instance?.entity ?? null,
    integration: integration.entity,
    versionId,
    versionNumber,
    customerUser: null as CustomerUserEntity | null,
    webhookUrls: webhookUrlsOf(
      options.ingressUrl(),
      source.definition,
      instance?.entity ?? null,
      integration.entity,
    ),
  };
}

function requestOf(options: ExecutionsOptions, entry: Entry) {
  return {
    executionId: entry.id,
    attempt: entry.attempt,
    request: {
      ...entry.request,
      body: entry.body === null ? null : Buffer.from(entry.body).toString("base64"),
    },
    invokeUrl: `${options.ingressUrl()}/trigger/${entry.request.token}${entry.request.pathFragment}`,
    isDebug: entry.isDebug,
    startedAtMs: entry.request.receivedAtMs,
    firstSequence: 1,
  };
}

const failed = (code: ExecutionErrorCode, reason: string): RunOutcome => ({
  status: "FAILED",
  errorCode: code,
  error: reason,
  endedAtMs: Date.now(),
  logs: [],
  steps: [],
  sections: [],
  result: null,
});

interface ExecutionRecord {
  nodeId: string;
  setTarget(target: Target): void;
  log(part: ExecutionPart, severity: LogReport["severity"], message: string): void;
  run(part: ExecutionPart, request: RunRequest, hooks: ExecutionHooks): Promise<RunOutcome>;
  end(outcome: RunOutcome, hooks: ExecutionHooks): Promise<void>;
}

/** Collects what happens to an execution and writes it to the journal as ordered events. */
function openRecord(
  { journal, runner, reporter, logger }: ExecutionsOptions,
  { entry, endpoint, target }: Execution,
): ExecutionRecord {
  let own = targetOf(endpoint, target);
  let eventSequence = 0;
  let itemSequence = 1;
  let isMarked = false;
  const markRunning = async () => {
    isMarked = true;
    await journal.markRunning(entry.id);
  };
  // After a crash the mark is on disk before the code runs; else only once it has lasted, for it costs a write.
  const mark = entry.isSuspect ? { beforeStart: markRunning } : {};
  let collected = { logs: [] as LogReport[], steps: [] as StepReport[], sections: [] as SectionReport[] };
  const nodeId = toNodeId("InstanceExecutionResult", entry.id);

  const write = async (finish: ExecutionFinish | null) => {
    const { logs, steps, sections } = collected;
    collected = { logs: [], steps: [], sections: [] };
    const event: ExecutionEvent = {
      kind: "execution",
      id: entry.id,
      attempt: entry.attempt,
      sequence: ++eventSequence,
      invokeType: entry.invokeType,
      startedAtMs: entry.request.receivedAtMs,
      isDebug: entry.isDebug,
      target: own,
      // The journal adds the request when it hands the first event to the reporter.
      request: null,
      replayOf: entry.replayOf,
      invokedBy: entry.invokedBy,
      steps,
      logs,
      sections,
      finish,
    };
    await reportWhenPossible(journal, event, finish !== null, logger);
    reporter.notify();
  };
  const collect = (part: Pick<RunOutcome, "logs" | "steps" | "sections">) => {
    collected.logs.push(...part.logs);
    collected.steps.push(...part.steps);
    collected.sections.push(...part.sections);
    for (const { sequence } of [...part.logs, ...part.steps])
      itemSequence = Math.max(itemSequence, sequence + 1);
  };

  const record: ExecutionRecord = {
    nodeId,
    setTarget(found) {
      own = { ...targetOf(endpoint, found), preprocessFlowName: own.preprocessFlowName };
    },
    log(part, severity, message) {
      collect({
        logs: [
          {
            part,
            sequence: itemSequence,
            atMs: Date.now(),
            severity,
            message,
            stepName: null,
            sectionId: null,
          },
        ],
        steps: [],
        sections: [],
      });
    },
    async run(part, request, hooks) {
      const needsResult = part === "PREPROCESS" || hooks.needsResult === true;
      const outcome = await runner.run(
        { ...request, firstSequence: itemSequence, needsResult },
        {
          ...(isMarked ? {} : mark),
          onTriggerDone: (response) => hooks.onTriggerDone?.(response),
          onTriggerFailed: () => hooks.onTriggerFailed?.(),
          onProgress(progress) {
            // Seen to run: should the process die now, it counts.
            if (!isMarked) markRunning().catch(() => {});
            collect(progress);
            write(null).catch((error) =>
              logger.error({ reason: messageOf(error) }, "progress could not be journaled"),
            );
          },
        },
      );
      collect(outcome);
      return outcome;
    },
    async end(outcome, hooks) {
      hooks.onEnd?.(outcome);
      if (outcome.error !== null && outcome.errorCode === "CRASH_LIMIT")
        record.log("FLOW", "ERROR", outcome.error);
      record.log(
        "FLOW",
        outcome.status === "FAILED" ? "ERROR" : "INFO",
        `Ending Instance Execution ${nodeId}`,
      );
      await write({
        status: outcome.status,
        endedAtMs: outcome.endedAtMs,
        errorCode: outcome.errorCode,
        error: outcome.error,
        answerStatus: hooks.answerStatus?.() ?? null,
      });
    },
  };
  return record;
}

/** A full disk keeps the record in memory (which is bounded by what may be in memory) until there is room. */
async function reportWhenPossible(
  journal: Journal,
  event: ExecutionEvent,
  isEnd: boolean,
  logger: Logger,
): Promise<void> {
  for (let failures = 0; ; failures++) {
    try {
      return await journal.report(event, isEnd);
    } catch (error) {
      if (journal.isClosed()) throw error;
      if (failures === 0)
        logger.error(
          { executionId: event.id, reason: messageOf(error) },
          "a record waits: the journal does not take it",
        );
      await new Promise((resolve) => setTimeout(resolve, reportRetryMs));
    }
  }
}

function targetOf(endpoint: Endpoint, target: Target | null): ExecutionTarget {
  const instance = target?.instance.entity ?? endpoint.instance?.entity ?? null;
  const flow = target?.flow ?? null;
  const flowEntity = flow === null ? undefined : instance?.flows[flow.stableKey];
  return {
    integrationId: endpoint.integration.entity.id,
    versionId: instance?.versionId ?? endpoint.versionId,
    versionNumber: instance?.versionNumber ?? endpoint.versionNumber,
    instanceId: instance?.id ?? null,
    customerId: instance?.customer.id ?? null,
    customerUserId: target?.user?.id ?? null,
    flowId: flowEntity?.flowId ?? null,
    flowConfigId: flowEntity?.flowConfigId ?? null,
    flowStableKey: flow?.stableKey ?? null,
    flowName: flow?.name ?? null,
    preprocessFlowName: endpoint.preprocessFlow?.name ?? null,
  };
}
