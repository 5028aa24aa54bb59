/** Replays: a kept request goes the whole way again, key check included, as a new execution. */
import type { Context } from "../context.ts";
import { startExecution } from "../store/startedExecutions.ts";
import { notRouted, startReplay } from "../store/startedReplays.ts";
import { readRejectionRequest } from "../store/storedObjects.ts";
import { loadExecution } from "./executions.ts";
import { notFound, requiredId } from "./inputs.ts";
import { Execution, type ExecutionItem, Rejection } from "./instanceRefs.ts";
import { InputError, mutation } from "./payloads.ts";
import { isReplayable, loadRejection } from "./rejections.ts";

mutation("replayExecution", {
  description: "Sends an execution's request the whole way again. A test runs again as the test that it was.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The execution to repeat." }) }),
  resolve: async (input, context) => {
    const execution = await loadExecution(context, requiredId("InstanceExecutionResult", input.id, "id"));
    if (execution === null) throw notFound("id", "execution");
    if (execution.endedAtMs === null) {
      throw new InputError("id", "The execution has not ended yet, so there is nothing to repeat.");
    }
    const repeated = await replay(context, execution);
    return { execution: repeated, instanceExecutionResult: repeated };
  },
  output: (t) => ({
    instanceExecutionResult: t.expose("instanceExecutionResult", {
      type: Execution,
      nullable: true,
      description: "The same, under the name that Prismatic's scripts read.",
    }),
    execution: t.expose("execution", {
      type: Execution,
      nullable: true,
      description: "The new execution, linked to the one that it repeats.",
    }),
  }),
});

mutation("replayRejection", {
  description: "Sends a refused request that was kept (409 and 422) the whole way again.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The rejection." }) }),
  resolve: async (input, context) => {
    const { store } = context;
    const rejection = await loadRejection(context, requiredId("Rejection", input.id, "id"));
    if (rejection === null) throw notFound("id", "rejection");
    const request = await readRejectionRequest(store, rejection.id);
    if (request === null || !isReplayable(rejection)) {
      throw new InputError(
        "id",
        `A request that was answered ${rejection.status} can't be sent again: only 409 and 422 keep theirs.`,
      );
    }
    if (rejection.integrationId === null) {
      throw new InputError("id", "The rejection does not say which integration the request was for.");
    }
    const executionId = await startExecution(
      context,
      {
        ...notRouted,
        invokeType: "REPLAY",
        isTest: false,
        isDebug: false,
        integrationId: rejection.integrationId,
        ...(await versionOf(context, rejection.integrationId, rejection.instanceId)),
        replayOf: null,
        request,
      },
      "REPLAY",
      (id) => ({ executionId: id, replayOf: null, request }),
    );
    await store.executions
      .updateTable("rejections")
      .set({ replayedByExecutionId: executionId })
      .where("id", "=", rejection.id)
      .execute();
    const execution = await startedExecution(context, executionId);
    return { execution, rejection: { ...rejection, replayedByExecutionId: executionId } };
  },
  output: (t) => ({
    execution: t.expose("execution", { type: Execution, nullable: true, description: "The new execution." }),
    rejection: t.expose("rejection", {
      type: Rejection,
      nullable: true,
      description: "The rejection, which names its newest replay.",
    }),
  }),
});

async function replay(context: Context, execution: ExecutionItem): Promise<ExecutionItem> {
  const id = await startReplay(context, execution);
  if (id === null)
    throw new InputError("id", "The execution's request is not stored, so it can't be sent again.");
  return startedExecution(context, id);
}

async function startedExecution(context: Context, id: string): Promise<ExecutionItem> {
  const execution = await loadExecution(context, id);
  if (execution === null) throw new Error(`The execution ${id} was not stored.`);
  return execution;
}

/** What the instance runs on now; the draft stands in where no instance is known, until the replay is routed. */
async function versionOf(
  { store }: Context,
  integrationId: string,
  instanceId: string | null,
): Promise<{ versionId: string; versionNumber: number }> {
  const version =
    instanceId === null
      ? undefined
      : await store.config
          .selectFrom("instances")
          .innerJoin("versions", "versions.id", "instances.deployedVersionId")
          .select(["versions.id as versionId", "versions.number as versionNumber"])
          .where("instances.id", "=", instanceId)
          .executeTakeFirst();
  return version ?? { versionId: integrationId, versionNumber: 0 };
}
