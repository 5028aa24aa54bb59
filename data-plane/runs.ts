/**
 * Running flows: one call for each part of an execution. Gathers what the run needs (its components, config
 * variables and keys), hands it to a run thread, and gives back its outcome.
 */
import { join } from "node:path";
import { LRUCache } from "lru-cache";
import type { Config } from "../shared/config.ts";
import type { Definition, Flow } from "../shared/definition.ts";
import { type ExecutionErrorCode, messageOf } from "../shared/errors.ts";
import type { CustomerUserEntity, InstanceEntity, IntegrationEntity, KeyEntity } from "../shared/feed.ts";
import { toNodeId } from "../shared/ids.ts";
import type {
  ExecutionPart,
  LogReport,
  LogSeverity,
  SectionReport,
  StepReport,
  StoredRequest,
} from "../shared/reports.ts";
import { type MasterKey, unseal } from "../shared/secrets.ts";
import {
  type BundleLease,
  BundleRefusedError,
  BundleTimeoutError,
  createBundles,
  type FetchBundle,
} from "./bundles.ts";
import {
  type BundlePlace,
  type HttpResponse,
  noReports,
  type Reports,
  type RunAttributes,
  type RunResult,
  type WorkEnd,
} from "./runtime/messages.ts";
import { createThreads, type Job, type ThreadsStats } from "./threads.ts";

export type { HttpResponse, RunResult } from "./runtime/messages.ts";

/** One execution's part to run on this data plane. */
export interface RunRequest {
  /** uuid */
  executionId: string;
  /** More than 1 after a crash. */
  attempt: number;
  part: ExecutionPart;
  definition: Definition;
  definitionDigest: string;
  flow: Flow;
  /** Null for a shared preprocess flow: it runs as the system, and may not read config variables. */
  instance: InstanceEntity | null;
  integration: IntegrationEntity;
  versionId: string;
  versionNumber: number;
  customerUser: CustomerUserEntity | null;
  request: StoredRequest;
  invokeUrl: string;
  /** By flow name. */
  webhookUrls: Record<string, string>;
  isDebug: boolean;
  startedAtMs: number;
  /** Logs and steps are numbered on from here, by one counter. */
  firstSequence: number;
  /** False where nobody reads the outcome's `result`, which is then null; true by default. */
  needsResult?: boolean;
}

/** Each may be called at any time until `run` has resolved; the trigger hooks at most once, and one of them. */
export interface RunHooks {
  /** Awaited when a thread is about to run it; called again where it runs again. */
  beforeStart?(): Promise<void>;
  /** The trigger step ended, with the response that its code gave. Of a built-in trigger it is told at the end. */
  onTriggerDone(response: HttpResponse | null): void;
  onTriggerFailed(message: string): void;
  /** For runs that last longer: what was written since the last call, every half second. */
  onProgress(progress: { logs: LogReport[]; steps: StepReport[]; sections: SectionReport[] }): void;
}

export interface RunOutcome {
  status: "SUCCEEDED" | "FAILED";
  errorCode: ExecutionErrorCode | null;
  error: string | null;
  endedAtMs: number;
  /** What was not given to `onProgress`. */
  logs: LogReport[];
  steps: StepReport[];
  sections: SectionReport[];
  /** The last step's return, for synchronous answers and for routing; null where the run failed. */
  result: RunResult | null;
}

export interface Runner {
  /** Never rejects. Stays pending when the runner is stopped first: such a run has no outcome. */
  run(request: RunRequest, hooks: RunHooks): Promise<RunOutcome>;
  /** Null where a version's components are here and have all that its flows call; else a sentence. */
  prepare(definition: Definition): Promise<string | null>;
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
const unsealedEntriesMax = 10_000;
const unsealedCharactersMax = 32 * 1024 * 1024;

export function createRunner(options: RunnerOptions): Runner {
  const { config, logger } = options;
  const bundles = createBundles({
    folder: join(options.dataDir, "data-plane", "bundles"),
    fetchBundle: options.fetchBundle,
    bytesMax: config.bundleBytesMax,
  });
  const threads = createThreads({
    config,
    onNotice: (level, message) => logger[level](message),
  });
  const unsealText = createUnseal(options.masterKey);
  let active = 0;

  async function run(request: RunRequest, hooks: RunHooks): Promise<RunOutcome> {
    active++;
    const leases: BundleLease[] = [];
    try {
      const places = await takeBundles(request.definition, config.runTimeoutMs, leases);
      return await runInThread(request, places, hooks);
    } catch (error) {
      const { errorCode, message } = describeFailure(error);
      hooks.onTriggerFailed(message);
      return outcomeOf({ ...failure(errorCode, message), reports: noReports() });
    } finally {
      for (const lease of leases) lease.release();
      active--;
    }
  }

  async function takeBundles(
    { bundles: digests }: Definition,
    timeoutMs: number,
    leases: BundleLease[],
  ): Promise<Record<string, BundlePlace>> {
    const places: [string, BundlePlace][] = [];
    const untilMs = Date.now() + timeoutMs;
    for (const [componentKey, digest] of Object.entries(digests)) {
      const lease = await bundles.take(digest, Math.max(0, untilMs - Date.now()));
      leases.push(lease);
      places.push([componentKey, { digest, folder: lease.folder }]);
    }
    return Object.fromEntries(places);
  }

  function runInThread(
    request: RunRequest,
    places: Record<string, BundlePlace>,
    hooks: RunHooks,
  ): Promise<RunOutcome> {
    const { flow, instance } = request;
    const numbering = createNumbering(request.part, request.firstSequence);
    const work = {
      kind: "run" as const,
      part: request.part,
      flow,
      isCodeNative: request.definition.isCodeNative,
      bundles: places,
      attributes: attributesOf(request, unsealText),
      configVarsJson: instance === null ? null : unsealText("configVars", instance.sealedConfigVars),
      request: request.request,
      isDebug: request.isDebug,
      firstSequence: request.firstSequence,
      needsResult: request.needsResult ?? true,
    };
    return new Promise((resolve) => {
      let isTriggerTold = false;
      const job: Job = {
        work,
        weight: request.request.body?.length ?? 0,
        timeoutMs: config.runTimeoutMs,
        beforeStart: hooks.beforeStart,
        onReports(reports) {
          const fresh = numbering.onlyNew(reports);
          if (hasAny(fresh)) hooks.onProgress(fresh);
        },
        onTrigger(outcome) {
          if (isTriggerTold) return;
          isTriggerTold = true;
          if (outcome.ok) hooks.onTriggerDone(outcome.response);
          else hooks.onTriggerFailed(outcome.message);
        },
        onRerun(reason) {
          const note = `${reason} It is not known which of its runs did it, so this one runs again from its start, alone.`;
          hooks.onProgress({ ...noReports(), logs: [numbering.note("WARN", note)] });
          job.work = { ...work, firstSequence: numbering.next() };
        },
        onEnd(end) {
          const reports = numbering.onlyNew(end.reports);
          // What the flow's own code could not log itself.
          if (end.error !== null && end.errorCode?.startsWith("RUN_")) {
            reports.logs.push(numbering.note("ERROR", end.error));
          }
          const outcome = outcomeOf({ ...end, reports });
          if (end.status === "FAILED" && flow.hasTriggerCode) {
            job.onTrigger({ ok: false, message: end.error ?? "The run failed." });
          } else {
            job.onTrigger({ ok: true, response: null });
          }
          resolve(outcome);
        },
      };
      threads.run(job);
    });
  }

  async function prepare(definition: Definition): Promise<string | null> {
    active++;
    const leases: BundleLease[] = [];
    try {
      const places = await takeBundles(definition, prepareTimeoutMs, leases);
      const steps = definition.flows.flatMap((flow) =>
        flow.steps.map(({ isTrigger, action }) => ({ flowName: flow.name, isTrigger, action })),
      );
      const end = await new Promise<WorkEnd>((resolve) =>
        threads.run({
          work: { kind: "prepare", bundles: places, steps },
          weight: 0,
          timeoutMs: prepareTimeoutMs,
          onReports() {},
          onTrigger() {},
          onRerun() {},
          onEnd: resolve,
        }),
      );
      return end.error;
    } catch (error) {
      return describeFailure(error).message;
    } finally {
      for (const lease of leases) lease.release();
      active--;
    }
  }

  return {
    run,
    prepare,
    idle: () => active === 0,
    async stop() {
      bundles.stop();
      threads.stop();
    },
    stats: threads.stats,
  };
}

type Unseal = (purpose: string, sealed: string) => string;

/** The same sealed texts come with every run of an instance, so they are opened once. */
function createUnseal(masterKey: MasterKey): Unseal {
  const opened = new LRUCache<string, string>({
    max: unsealedEntriesMax,
    maxSize: unsealedCharactersMax,
    sizeCalculation: (text, key) => text.length + key.length + 1,
  });
  return (purpose, sealed) => {
    const key = `${purpose}:${sealed}`;
    const known = opened.get(key);
    if (known !== undefined) return known;
    const text = unseal(masterKey, purpose, sealed).toString("utf8");
    opened.set(key, text);
    return text;
  };
}

const system = { id: "", externalId: "", name: "System" };

function attributesOf(request: RunRequest, unsealText: Unseal): RunAttributes {
  const { flow, instance, integration, customerUser: user } = request;
  const flowId = instance?.flows[flow.stableKey]?.flowId;
  return {
    executionId: toNodeId("InstanceExecutionResult", request.executionId),
    startedAt: new Date(request.startedAtMs).toISOString(),
    invokeUrl: request.invokeUrl,
    webhookUrls: request.webhookUrls,
    webhookApiKeys: apiKeysByFlowName(request, unsealText),
    customer:
      instance === null
        ? system
        : { ...pickCustomer(instance), id: toNodeId("Customer", instance.customer.id) },
    instance:
      instance === null
        ? { id: system.id, name: system.name }
        : { id: toNodeId("Instance", instance.id), name: instance.name },
    integration: {
      id: toNodeId("Integration", integration.id),
      name: integration.name,
      versionSequenceId: toNodeId("Integration", request.versionId),
      externalVersion: request.definition.externalVersion,
    },
    user:
      user === null
        ? { id: "", email: "", name: "", externalId: "" }
        : {
            id: toNodeId("User", user.id),
            email: user.email,
            name: user.name,
            externalId: user.externalId ?? "",
          },
    flow: {
      id: flowId === undefined ? "" : toNodeId("IntegrationFlow", flowId),
      name: flow.name,
      stableId: flow.stableKey,
    },
  };
}

const pickCustomer = ({ customer }: InstanceEntity) => ({
  externalId: customer.externalId,
  name: customer.name,
});

/** The customer's keys, where a customer is known, and the organization's. */
function apiKeysByFlowName(request: RunRequest, unsealText: Unseal): Record<string, string[]> {
  const { definition, instance, integration } = request;
  const nowMs = Date.now();
  const isValid = (key: KeyEntity) =>
    key.revokedAtMs === null && (key.expiresAtMs === null || key.expiresAtMs > nowMs);
  return Object.fromEntries(
    definition.flows.map((flow) => {
      const own = instance?.flows[flow.stableKey]?.keys ?? [];
      const organization = integration.organizationKeys[flow.stableKey] ?? [];
      const keys = [...own, ...organization].filter(isValid);
      return [flow.name, keys.map((key) => unsealText("apiKey", key.sealed))];
    }),
  );
}

/**
 * The numbers of a run's logs and steps, seen from outside: a run that starts again numbers on from what was
 * seen, and what a dead thread had sent before is not taken a second time from its last words.
 */
function createNumbering(part: ExecutionPart, firstSequence: number) {
  let seen = firstSequence - 1;
  const sections = new Set<string>();
  return {
    onlyNew(reports: Reports): Reports {
      const last = seen;
      const isNew = ({ sequence }: { sequence: number }) => {
        seen = Math.max(seen, sequence);
        return sequence > last;
      };
      const isNewSection = ({ sectionId }: SectionReport) =>
        !sections.has(sectionId) && sections.add(sectionId);
      return {
        logs: reports.logs.filter(isNew),
        steps: reports.steps.filter(isNew),
        sections: reports.sections.filter(isNewSection),
      };
    },
    note(severity: LogSeverity, message: string): LogReport {
      return {
        part,
        sequence: ++seen,
        atMs: Date.now(),
        severity,
        message,
        stepName: null,
        sectionId: null,
      };
    },
    next: () => seen + 1,
  };
}

const hasAny = ({ logs, steps, sections }: Reports): boolean =>
  logs.length + steps.length + sections.length > 0;

function failure(errorCode: ExecutionErrorCode, error: string) {
  return { status: "FAILED" as const, errorCode, error, endedAtMs: Date.now(), result: null };
}

function describeFailure(error: unknown): { errorCode: ExecutionErrorCode; message: string } {
  const message = messageOf(error);
  if (error instanceof BundleRefusedError) return { errorCode: "BUNDLE_INVALID", message };
  if (error instanceof BundleTimeoutError) return { errorCode: "RUN_TIMEOUT", message };
  return { errorCode: "INTERNAL", message };
}

function outcomeOf(end: Omit<WorkEnd, "trigger">): RunOutcome {
  const { status, errorCode, error, endedAtMs, result, reports } = end;
  return { status, errorCode, error, endedAtMs, result, ...reports };
}
