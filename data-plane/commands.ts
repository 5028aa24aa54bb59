/** Carries out what the control plane wants done: leased, idempotent by id, answered when it is durable here. */
import type { Logger } from "pino";
import type { Command, CommandResult } from "../shared/commands.ts";
import { flowByStableKey } from "../shared/definition.ts";
import { type ExecutionErrorCode, messageOf } from "../shared/errors.ts";
import type { InvokeType, StoredRequest } from "../shared/reports.ts";
import type { MasterKey } from "../shared/secrets.ts";
import { type AdmissionRequest, admit } from "./admission.ts";
import { runDataSource } from "./dataSources.ts";
import type { Executions } from "./executions.ts";
import { invokeFlow } from "./invokeFlow.ts";
import { keyChecksOfCommands } from "./keyChecks.ts";
import type { BodyParser } from "./largeBodies.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import { draftEndpoint, type Endpoint, endpointAt, endpointOf } from "./resolve.ts";
import type { Runner } from "./runs.ts";

export interface CommandsOptions {
  /** `held`: what is in hand here of what was leased before. */
  lease(most: number, held: readonly string[]): Promise<Command[]>;
  complete(results: CommandResult[]): Promise<void>;
  replica: ReplicaReader;
  parser: BodyParser;
  executions: Pick<Executions, "accept" | "append" | "cancel" | "fail">;
  runner: Pick<Runner, "prepare" | "runDataSource">;
  masterKey: MasterKey;
  logger: Logger;
}

export interface Commands {
  /** There may be commands. */
  notify(): void;
  stop(): void;
}

const leaseMost = 20;
const batchesMax = 10;
const replicaLookMs = 50;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const retryAfterMs = 1_000;
const definitionWaitMs = 2_000;
/** As long as a lease lasts: after it another data plane may have the command. */
const completeForMs = 60_000;

export function startCommands(options: CommandsOptions): Commands {
  const { logger } = options;
  let isWorking = false;
  let hasNews = false;
  let isStopped = false;

  const batches = new Set<Promise<void>>();
  const held = new Set<string>();

  const complete = async (commands: readonly Command[]) => {
    const untilMs = performance.now() + completeForMs;
    for (const { id } of commands) held.add(id);
    const results = await Promise.all(commands.map((command) => carryOut(options, command)));
    let hasFailed = false;
    while (!isStopped && performance.now() < untilMs) {
      try {
        await options.complete(results);
        break;
      } catch (error) {
        if (!hasFailed) logger.warn({ reason: messageOf(error) }, "commands could not be answered");
        hasFailed = true;
        await pause(retryAfterMs);
      }
    }
    for (const { id } of commands) held.delete(id);
  };

  const work = async () => {
    if (isWorking) {
      hasNews = true;
      return;
    }
    isWorking = true;
    try {
      do {
        hasNews = false;
        // What is not known of an instance yet would look as if it were gone.
        while (options.replica.position().epoch === "" && !isStopped) await pause(replicaLookMs);
        const commands = await options.lease(leaseMost, [...held]);
        if (commands.length === 0) continue;
        hasNews = true;
        const batch = complete(commands).finally(() => batches.delete(batch));
        batches.add(batch);
        // A slow one (a package that is fetched) holds up none that comes after it.
        if (batches.size >= batchesMax) await Promise.race(batches);
      } while (hasNews && !isStopped);
    } catch (error) {
      // What was leased by this all the same is not held here, so the next time it is handed out again.
      logger.warn({ reason: messageOf(error) }, "commands could not be taken");
      if (!isStopped) setTimeout(() => void work(), retryAfterMs).unref();
    } finally {
      isWorking = false;
    }
  };
  return {
    notify: () => void work(),
    stop() {
      isStopped = true;
    },
  };
}

async function carryOut(options: CommandsOptions, command: Command): Promise<CommandResult> {
  try {
    if (command.kind === "RUN_DATA_SOURCE")
      return { id: command.id, ...(await runDataSource(options, command.payload)) };
    return { id: command.id, error: await perform(options, command) };
  } catch (error) {
    options.logger.error(
      { commandId: command.id, kind: command.kind, reason: messageOf(error) },
      "a command failed",
    );
    return { id: command.id, error: messageOf(error) };
  }
}

function perform(
  options: CommandsOptions,
  command: Exclude<Command, { kind: "RUN_DATA_SOURCE" }>,
): Promise<string | null> {
  switch (command.kind) {
    case "RUN_FLOW":
      return runFlow(options, command.payload);
    case "TEST_ENDPOINT":
      return testEndpoint(options, command.payload);
    case "REPLAY":
      return replay(options, command.payload);
    case "RETRY":
      return retry(options, command.payload);
    case "INVOKE_FLOW":
      return invokeFlow(options, command.payload);
    case "CANCEL":
      return cancel(options, command.payload);
    case "PREPARE_DEPLOY":
      return prepareDeploy(options, command.payload);
  }
}

type Payload<Kind extends Command["kind"]> = Extract<Command, { kind: Kind }>["payload"];

async function runFlow(options: CommandsOptions, payload: Payload<"RUN_FLOW">): Promise<string | null> {
  const { replica } = options;
  const instance = replica.instance(payload.instanceId);
  const base = instance && endpointOf(replica, instance);
  const flow = base ? flowByStableKey(base.source.definition, payload.flowStableKey) : undefined;
  if (!base || flow === undefined) return "The flow is not deployed on this data plane.";
  const endpoint: Endpoint = { ...base, flow };
  return start(options, endpoint, {
    executionId: payload.executionId,
    request: payload.request,
    invokeType: "TEST",
    isDebug: payload.isDebug,
    replayOf: null,
    isEndpointTest: false,
    skipsKeys: true,
  });
}

async function testEndpoint(
  options: CommandsOptions,
  payload: Payload<"TEST_ENDPOINT">,
): Promise<string | null> {
  const endpoint = draftEndpoint(options.replica, payload.integrationId);
  if (endpoint === null) return "The integration's draft is not on this data plane.";
  return start(options, endpoint, {
    executionId: payload.executionId,
    request: payload.request,
    invokeType: "TEST_ENDPOINT",
    isDebug: payload.isDebug,
    replayOf: null,
    isEndpointTest: true,
    skipsKeys: false,
  });
}

async function replay(options: CommandsOptions, payload: Payload<"REPLAY">): Promise<string | null> {
  const endpoint = endpointAt(options.replica, payload.request.token);
  if (endpoint === null) return "There is no endpoint at the request's address any more.";
  return start(options, endpoint, {
    executionId: payload.executionId,
    request: payload.request,
    invokeType: "REPLAY",
    isDebug: false,
    replayOf: payload.replayOf,
    isEndpointTest: false,
    skipsKeys: false,
  });
}

async function cancel({ executions }: CommandsOptions, payload: Payload<"CANCEL">): Promise<string | null> {
  return (await executions.cancel(payload.canceledId))
    ? null
    : "It neither waits nor runs on this data plane.";
}

/** On the version that the instance runs on now. */
async function retry(options: CommandsOptions, payload: Payload<"RETRY">): Promise<string | null> {
  const { replica } = options;
  const { instanceId, flowStableKey, userId, ...given } = payload;
  const instance = replica.instance(instanceId);
  const base = instance && endpointOf(replica, instance);
  if (!base) return "What failed can't be run again: its instance is not deployed any more.";
  const flow = flowByStableKey(base.source.definition, flowStableKey);
  if (flow === undefined)
    return "What failed can't be run again: its flow is not in the version that is deployed now.";
  return start(options, { ...base, flow }, { ...given, isEndpointTest: false, skipsKeys: true, userId });
}

interface StartOptions
  extends Pick<
    AdmissionRequest,
    "executionId" | "isDebug" | "replayOf" | "isEndpointTest" | "skipsKeys" | "retry"
  > {
  /** The user whose run it is, where no routing finds it. */
  userId?: string | null;
  request: StoredRequest;
  invokeType: InvokeType;
}

async function start(options: CommandsOptions, endpoint: Endpoint, given: StartOptions): Promise<null> {
  const { request: stored, userId, ...rest } = given;
  const { body, ...request } = stored;
  const received = { ...request, receivedAtMs: Date.now() };
  const bytes = body === null ? Buffer.alloc(0) : Buffer.from(body, "base64");
  const admission = await admit(options.replica, options.parser, {
    ...rest,
    endpoint,
    request: received,
    body: bytes,
    invokedBy: null,
    keyChecks: keyChecksOfCommands,
    // Answered as a sender would be, to nobody: the record says with what.
    hasSender: true,
  });
  if (admission.ok) {
    if (userId !== undefined) admission.meta.route.userId = userId;
    await options.executions.accept(admission.meta, bytes.length === 0 ? null : bytes);
  } else
    await fail(
      options,
      endpoint,
      { ...given, request: { ...received, body } },
      admission.code,
      admission.reason,
    );
  return null;
}

/** The execution exists already, so what would be a rejection is its outcome. */
function fail(
  options: CommandsOptions,
  endpoint: Endpoint,
  given: StartOptions,
  code: ExecutionErrorCode,
  reason: string,
): Promise<void> {
  const { integration, instance, versionId, versionNumber, preprocessFlow } = endpoint;
  const target = {
    integrationId: integration.entity.id,
    versionId,
    versionNumber,
    instanceId: instance?.entity.id ?? null,
    customerId: instance?.entity.customer.id ?? null,
    customerUserId: null,
    flowId: null,
    flowConfigId: null,
    flowStableKey: null,
    flowName: null,
    preprocessFlowName: preprocessFlow?.name ?? null,
  };
  const { executionId: id, invokeType, isDebug, replayOf, request } = given;
  const event = {
    id,
    attempt: 1,
    sequence: 1,
    invokeType,
    startedAtMs: request.receivedAtMs,
    isDebug,
    target,
    request,
    replayOf,
    invokedBy: null,
  };
  return options.executions.fail(event, code, reason);
}

/** The definition travels by the feed, which may be a moment behind the command. */
async function prepareDeploy(
  { replica, runner }: CommandsOptions,
  payload: Payload<"PREPARE_DEPLOY">,
): Promise<string | null> {
  for (let waitedMs = 0; waitedMs <= definitionWaitMs; waitedMs += 25) {
    const compiled = replica.definition(payload.definitionDigest);
    if (compiled !== null) return runner.prepare(compiled.definition);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return null;
}
