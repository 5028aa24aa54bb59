/**
 * Running flows: hands each part of an execution to a run thread, with the packages that it needs, and gives
 * back its outcome. What many runs have in common is gathered once, as a context.
 */
import { join } from "node:path";
import type { Config } from "../shared/config.ts";
import { allSteps, type Definition } from "../shared/definition.ts";
import { type ExecutionErrorCode, messageOf } from "../shared/errors.ts";
import { checkOutbound } from "../shared/outbound.ts";
import type { ExecutionPart, LogSeverity } from "../shared/reports.ts";
import type { MasterKey } from "../shared/secrets.ts";
import { BundleRefusedError, BundleTimeoutError, createBundles, type FetchBundle } from "./bundles.ts";
import { type ContextFacts, createContextCompiler, type RunContext } from "./contexts.ts";
import type {
  BundlePlace,
  DataSourceWork,
  HttpResponse,
  PrepareWork,
  ReportTexts,
  RunResult,
  StateTexts,
  TriggerFindings,
  TriggerOutcome,
  WorkEnd,
} from "./runtime/messages.ts";
import { createThreads, type Job, type ThreadsStats } from "./threads.ts";

export type { HttpResponse, ReportTexts, RunResult } from "./runtime/messages.ts";

/** One execution's part to run on this data plane. */
export interface Run {
  context: RunContext;
  part: ExecutionPart;
  /** JSON of the journaled entry's meta: the thread reads the request from it. */
  meta: string;
  body: Uint8Array | null;
  /** Logs and steps are numbered on from here, by one counter. */
  firstSequence: number;
  /** False where nobody reads the outcome's `result`, which is then null. */
  needsResult: boolean;
  /** True where the outcome is to hold the request's JSON. */
  needsRequest: boolean;
  /** Awaited when a thread is about to run it; called again where it runs again. */
  beforeStart: (() => Promise<void>) | null;
  hooks: RunHooks;
}

/** Called until `onEnd` at the latest; the trigger hooks at most once, and one of them. */
export interface RunHooks {
  /** The trigger step ended, with the response that its code gave. Of a built-in trigger it is told at the end. */
  onTriggerDone(response: HttpResponse | null, uniqueRequestId: string | null): void;
  onTriggerFailed(message: string): void;
  /** For runs that last longer: what was written since the last call, every half second. */
  onProgress(reports: ReportTexts): void;
  /** It took its thread down. */
  onCharged?(reason: string): void;
  /** Called once. Not called where the runner is stopped first: such a run has no outcome. */
  onEnd(outcome: RunOutcome): void;
}

export interface RunOutcome {
  status: "SUCCEEDED" | "FAILED";
  errorCode: ExecutionErrorCode | null;
  error: string | null;
  endedAtMs: number;
  /** What was not given to `onProgress`. */
  reports: ReportTexts;
  /** The last step's return, for synchronous answers and for routing; null where the run failed. */
  result: RunResult | null;
  /** JSON of the `StoredRequest`, where it was asked for and the run got so far. */
  requestJson: string | null;
  /** The number of the thread that it ran on; null where it did not get to one. */
  thread: number | null;
  /** The states that it has changed. */
  states?: StateTexts | null;
  /** What its trigger said beside its results. */
  findings?: TriggerFindings;
}

export interface Runner {
  /** Gathers what runs have in common. Throws where something can't be unsealed. */
  compile(facts: ContextFacts): RunContext;
  start(runs: readonly Run[]): void;
  /** Null where a version's components are here and have all that its flows call; else a sentence. */
  prepare(definition: Definition): Promise<string | null>;
  /** Calls a data source of one of these packages (component key to digest). */
  runDataSource(
    digestByKey: Record<string, string>,
    work: DataSourceWork,
  ): Promise<Pick<WorkEnd, "error" | "result">>;
  /** Ends the run of this execution; false where no thread has it. */
  cancel(executionId: string, reason: string): boolean;
  idle(): boolean;
  stop(): Promise<void>;
  stats(): ThreadsStats;
}

export interface RunnerOptions {
  config: Config;
  masterKey: MasterKey;
  fetchBundle: FetchBundle;
  dataDir: string;
  logger: { warn(message: string): void; debug(message: string): void };
}

/** Fetching and loading a version's components, when an instance is deployed. */
const prepareTimeoutMs = 30_000;
/** Somebody looks at a wizard and waits. */
const dataSourceTimeoutMs = 20_000;

export function createRunner(options: RunnerOptions): Runner {
  const { config, logger } = options;
  checkOutbound(config.outbound);
  const bundles = createBundles({
    folder: join(options.dataDir, "data-plane", "bundles"),
    fetchBundle: options.fetchBundle,
    bytesMax: config.bundleBytesMax,
  });
  const threads = createThreads({
    config,
    onNotice: (level, message) => logger[level](message),
  });
  const contexts = createContextCompiler(options.masterKey, bundles.folderOf);
  let active = 0;

  const jobOf = (run: Run): Job => {
    const job = runJob(run, config.runTimeoutMs, (outcome) => {
      bundles.release(run.context.digests);
      active--;
      run.hooks.onEnd(outcome);
    });
    return job;
  };

  async function startOnceFetched(run: Run): Promise<void> {
    try {
      await hold(run.context.digests, config.runTimeoutMs);
    } catch (error) {
      active--;
      const { errorCode, message } = describeFailure(error);
      run.hooks.onTriggerFailed(message);
      run.hooks.onEnd(failedBefore(run, errorCode, message));
      return;
    }
    threads.run(jobOf(run));
  }

  /** Fetches what is not here. */
  async function hold(digests: readonly string[], timeoutMs: number): Promise<void> {
    const untilMs = Date.now() + timeoutMs;
    const leases = [];
    try {
      // Several at a time would need more care, and versions with several components are few.
      for (const digest of digests)
        leases.push(await bundles.take(digest, Math.max(0, untilMs - Date.now())));
      if (!bundles.tryHold(digests)) throw new Error("a leased package is gone");
    } finally {
      for (const lease of leases) lease.release();
    }
  }

  /** Work that is no run of a flow, in a thread, with its packages at hand. */
  async function workAside(
    digestByKey: Record<string, string>,
    work: Omit<PrepareWork, "bundles">,
    timeoutMs: number,
  ): Promise<Pick<WorkEnd, "error" | "result">> {
    const digests = Object.values(digestByKey);
    active++;
    try {
      await hold(digests, prepareTimeoutMs);
    } catch (error) {
      active--;
      return { error: describeFailure(error).message, result: null };
    }
    const end = await new Promise<WorkEnd>((resolve) =>
      threads.run({
        work: { kind: "prepare", bundles: placesOf(digestByKey), ...work },
        timeoutMs,
        onReports() {},
        onTrigger() {},
        onRerun() {},
        onEnd: resolve,
      }),
    );
    bundles.release(digests);
    active--;
    return end;
  }

  const placesOf = (digestByKey: Record<string, string>): Record<string, BundlePlace> =>
    Object.fromEntries(
      Object.entries(digestByKey).map(([componentKey, digest]) => [
        componentKey,
        { digest, folder: bundles.folderOf(digest) },
      ]),
    );

  return {
    compile: contexts.compile,
    start(runs) {
      const jobs: Job[] = [];
      for (const run of runs) {
        active++;
        if (bundles.tryHold(run.context.digests)) jobs.push(jobOf(run));
        else void startOnceFetched(run);
      }
      if (jobs.length > 0) threads.runAll(jobs);
    },
    async prepare(definition) {
      const work = { steps: stepsOf(definition) };
      return (await workAside(definition.bundles, work, prepareTimeoutMs)).error;
    },
    runDataSource: (digestByKey, dataSource) =>
      workAside(digestByKey, { steps: [], dataSource }, dataSourceTimeoutMs),
    cancel: threads.cancel,
    idle: () => active === 0,
    async stop() {
      bundles.stop();
      threads.stop();
    },
    stats: threads.stats,
  };
}

const stepsOf = (definition: Definition) =>
  definition.flows.flatMap((flow) =>
    allSteps(flow.steps).map(({ isTrigger, action }) => ({ flowName: flow.name, isTrigger, action })),
  );

function runJob(run: Run, timeoutMs: number, onEnd: (outcome: RunOutcome) => void): Job {
  const { hooks, part } = run;
  let isTriggerTold = false;
  /** Numbers on from what was told, where the run starts again or something is said of it from outside. */
  let nextSequence = run.firstSequence;
  const note = (severity: LogSeverity, message: string): string =>
    logJson(part, nextSequence++, severity, message);
  const onTrigger = (outcome: TriggerOutcome) => {
    if (isTriggerTold) return;
    isTriggerTold = true;
    if (outcome.ok) hooks.onTriggerDone(outcome.response, outcome.uniqueRequestId ?? null);
    else hooks.onTriggerFailed(outcome.message);
  };
  const { context, meta, body, firstSequence, needsResult, needsRequest } = run;
  const job: Job = {
    work: { kind: "run", context, meta, body, firstSequence, needsResult, needsRequest },
    timeoutMs,
    beforeStart: run.beforeStart ?? undefined,
    onReports(reports) {
      nextSequence = reports.nextSequence;
      if (hasAny(reports)) hooks.onProgress(reports);
    },
    onTrigger,
    onCharged: (reason) => hooks.onCharged?.(reason),
    onRerun(reason) {
      const logs = note(
        "WARN",
        `${reason} It is not known which of its runs did it, so this one runs again from its start, alone.`,
      );
      hooks.onProgress({ ...noReports(nextSequence), logs });
      job.work = { ...job.work, firstSequence: nextSequence } as Job["work"];
    },
    onEnd(
      { status, errorCode, error, endedAtMs, result, reports, requestJson, states = null, findings },
      thread,
    ) {
      let told = reports ?? noReports(nextSequence);
      nextSequence = told.nextSequence;
      // What the flow's own code could not log itself.
      if (error !== null && errorCode?.startsWith("RUN_")) {
        const logs = joined(told.logs, note("ERROR", error));
        told = { ...told, logs, nextSequence };
      }
      if (status === "FAILED" && context.code.flow.hasTriggerCode)
        onTrigger({ ok: false, message: error ?? "The run failed." });
      else onTrigger({ ok: true, response: null });
      onEnd({
        status,
        errorCode,
        error,
        endedAtMs,
        result,
        reports: told,
        requestJson,
        thread,
        states,
        ...(findings === undefined ? {} : { findings }),
      });
    },
  };
  return job;
}

/** JSON of a `LogReport` that no flow code wrote. */
export function logJson(
  part: ExecutionPart,
  sequence: number,
  severity: LogSeverity,
  message: string,
): string {
  return `{"part":"${part}","sequence":${sequence},"atMs":${Date.now()},"severity":"${severity}","message":${JSON.stringify(message)},"stepName":null,"sectionId":null}`;
}

/** Lists of JSON texts, joined by commas; "" is an empty one. */
export function joined(first: string, second: string): string {
  if (first === "") return second;
  return second === "" ? first : `${first},${second}`;
}

export const noReports = (nextSequence: number): ReportTexts => ({
  logs: "",
  steps: "",
  sections: "",
  nextSequence,
  sectionCount: 0,
});

const hasAny = ({ logs, steps, sections }: ReportTexts): boolean =>
  logs !== "" || steps !== "" || sections !== "";

function describeFailure(error: unknown): { errorCode: ExecutionErrorCode; message: string } {
  const message = messageOf(error);
  if (error instanceof BundleRefusedError) return { errorCode: "BUNDLE_INVALID", message };
  if (error instanceof BundleTimeoutError) return { errorCode: "RUN_TIMEOUT", message };
  return { errorCode: "INTERNAL", message };
}

const failedBefore = (run: Run, errorCode: ExecutionErrorCode, error: string): RunOutcome => ({
  status: "FAILED",
  errorCode,
  error,
  endedAtMs: Date.now(),
  reports: noReports(run.firstSequence),
  result: null,
  requestJson: null,
  thread: null,
});
