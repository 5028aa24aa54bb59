/** Cancels: what waits is not run, what runs is ended, and what failed is not retried. */
import { isUuid } from "../../shared/ids.ts";
import type { Context } from "../context.ts";
import { cancelByCommand, cancelRetry, endUnclaimed } from "../store/cancels.ts";
import { commandOutcome } from "../store/commandQueue.ts";
import { loadExecution } from "./executions.ts";
import { notFound, requiredId } from "./inputs.ts";
import { Execution, type ExecutionItem } from "./instanceRefs.ts";
import { InputError, mutation } from "./payloads.ts";

mutation("cancelExecution", {
  description:
    "Cancels an execution: one that waits is not run, one that runs is ended at once, and one that failed is not retried.",
  authScopes: { admin: true },
  input: (t) => ({ id: t.id({ required: true, description: "The execution to cancel." }) }),
  resolve: async (input, context) => {
    const id = requiredId("InstanceExecutionResult", input.id, "id");
    return { instanceExecutionResult: await cancel(context, id) };
  },
  output: (t) => ({
    instanceExecutionResult: t.expose("instanceExecutionResult", {
      type: Execution,
      nullable: true,
      description:
        "The execution: ended with the error code CANCELED, or as it was where no data plane has said yet that it ended it; null where nothing was reported of it yet.",
    }),
  }),
});

/** Data planes that were not heard of for longer hold nothing that waits. */
const dataPlanesSinceMs = 7 * 24 * 3_600_000;
const pauseMs = 25;

async function cancel(context: Context, id: string): Promise<ExecutionItem | null> {
  const { store, feed, config } = context;
  if (!isUuid(id)) throw notFound("id", "execution");
  const known = await loadExecution(context, id);
  if (known !== null && known.endedAtMs !== null) {
    if (await cancelRetry(store, id)) return loadExecution(context, id);
    throw new InputError("id", "The execution has ended, and no retry waits.");
  }
  const canceling = await feed.transact((transaction) =>
    cancelByCommand(transaction, id, Date.now() - dataPlanesSinceMs),
  );
  if (canceling.isEnded) {
    await endUnclaimed(store, id);
    return loadExecution(context, id);
  }
  const untilMs = Date.now() + config.deployWaitMs;
  for (;;) {
    const execution = await loadExecution(context, id);
    if (execution !== null && execution.endedAtMs !== null) return execution;
    const outcomes = await Promise.all(canceling.handedOut.map((command) => commandOutcome(store, command)));
    // A webhook that waits is not known here before it runs, so only the data planes can say that there is none.
    const isNowhere = outcomes.every((outcome) => outcome.isEnded && outcome.error !== null);
    if (isNowhere && execution === null) throw notFound("id", "execution that waits or runs");
    if (Date.now() >= untilMs) return execution;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
