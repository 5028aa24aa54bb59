/**
 * What runs as an instance is deployed and removed: first the triggers' own functions, one after the other, which
 * somebody waits for; then whole flows, which nobody does.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../shared/ids.ts";
import type { HookName } from "../shared/invocations.ts";
import type { Services } from "./context.ts";
import { completeCommands } from "./store/commandQueue.ts";
import { executionEnd } from "./store/executionEnds.ts";
import { type DeployedFlow, enqueueInvoked, type InvokedFlow, insertInvoked } from "./store/invokedFlows.ts";
import type { FlowLifecycle } from "./store/lifecycle.ts";
import type { ConfigTransaction, Store } from "./store/store.ts";

export const hasHooks = (flows: readonly FlowLifecycle[], hooks: readonly HookName[]): boolean =>
  flows.some((flow) => hooks.some((hook) => flow.hooks.has(hook)));

export const deployHooks = ["onInstanceDeploy", "webhookCreate"] as const satisfies HookName[];
export const removeHooks = ["webhookDelete", "onInstanceDelete"] as const satisfies HookName[];

/** Runs them until one fails. Returns a sentence that says which and why, or null. */
export async function runDeployHooks(
  services: Services,
  flows: readonly FlowLifecycle[],
): Promise<string | null> {
  for (const { deployed, hook } of hooksOf(flows, deployHooks)) {
    const error = await runHook(services, deployed, hook);
    if (error !== null) return failed(deployed, hook, error);
  }
  return null;
}

/** Runs all, whatever becomes of them: what was to be removed is not to stay for that. Returns what failed. */
export async function runRemoveHooks(services: Services, flows: readonly FlowLifecycle[]): Promise<string[]> {
  const problems = await runAll(services, hooksOf(flows, removeHooks));
  return [...problems, ...(await runRemoveFlows(services, flows))];
}

/** Has webhooks made for tests of a draft, or removed again. Returns what failed. */
export const runListeningHooks = (
  services: Services,
  flows: readonly FlowLifecycle[],
  isListening: boolean,
): Promise<string[]> => runAll(services, hooksOf(flows, [isListening ? "webhookCreate" : "webhookDelete"]));

async function runAll(
  services: Services,
  hooks: readonly { deployed: DeployedFlow; hook: HookName }[],
): Promise<string[]> {
  const problems: string[] = [];
  const isAnyoneThere = services.feed.liveDataPlanes().length > 0;
  for (const { deployed, hook } of hooks) {
    const error = isAnyoneThere ? await runHook(services, deployed, hook) : nobodyThere;
    if (error !== null) problems.push(failed(deployed, hook, error));
  }
  return problems;
}

/** The flows that run now that the instance is deployed: their records, and their commands in the transaction. */
export async function startDeployFlows(
  { store, feed }: Services,
  flows: readonly FlowLifecycle[],
  isFirst: boolean,
  work: (transaction: ConfigTransaction) => Promise<void>,
): Promise<void> {
  const wanted = flows.filter(
    ({ runsOnDeploy }) => runsOnDeploy === "each" || (runsOnDeploy === "first" && isFirst),
  );
  const invoked = wanted.map(
    ({ deployed }): InvokedFlow => ({
      executionId: newId(),
      invokeType: "DEPLOY_FLOW",
      invocation: { kind: "deploy" },
      deployed,
    }),
  );
  if (invoked.length > 0) await insertInvoked(store, invoked);
  await feed.transact(async (transaction) => {
    await work(transaction);
    await enqueueInvoked(transaction, invoked);
  });
}

/** Waits for them as for a trigger's function; what lasts longer goes on without its instance. */
async function runRemoveFlows(services: Services, flows: readonly FlowLifecycle[]): Promise<string[]> {
  const removed = flows.filter(({ runsOnRemove }) => runsOnRemove);
  if (removed.length === 0) return [];
  if (services.feed.liveDataPlanes().length === 0)
    return removed.map(({ deployed }) => notRun(deployed, nobodyThere));
  const { store, feed, config } = services;
  const invoked = removed.map(
    ({ deployed }): InvokedFlow => ({
      executionId: newId(),
      invokeType: "TEAR_DOWN_FLOW",
      invocation: { kind: "remove" },
      deployed,
    }),
  );
  await insertInvoked(store, invoked);
  await feed.transact((transaction) => enqueueInvoked(transaction, invoked));
  const untilMs = Date.now() + config.hookTimeoutMs;
  const ends = await Promise.all(invoked.map(({ executionId }) => waitForEnd(store, executionId, untilMs)));
  return ends.flatMap((end, index) =>
    end?.error == null ? [] : [notRun(removed[index]!.deployed, end.error)],
  );
}

/** All flows' first functions, then all flows' second ones. */
const hooksOf = (
  flows: readonly FlowLifecycle[],
  order: readonly HookName[],
): { deployed: DeployedFlow; hook: HookName }[] =>
  order.flatMap((hook) =>
    flows.filter((flow) => flow.hooks.has(hook)).map(({ deployed }) => ({ deployed, hook })),
  );

const failed = ({ flow }: DeployedFlow, hook: HookName, error: string): string =>
  `${hook} of flow "${flow.name}" failed: ${error}`;
const notRun = ({ flow }: DeployedFlow, error: string): string => `Flow "${flow.name}" failed: ${error}`;
const nobodyThere = "no data plane was connected to run it";

/** The data plane ends it when its time is up: this is for the case that there is none any more. */
const graceMs = 5_000;
const lookMs = 20;

/** Returns why it failed, or null. */
async function runHook(services: Services, deployed: DeployedFlow, hook: HookName): Promise<string | null> {
  const { store, feed, config } = services;
  const isDeploy = (deployHooks as readonly HookName[]).includes(hook);
  const executionId = newId();
  const invoked: InvokedFlow = {
    executionId,
    invokeType: isDeploy ? "DEPLOY_FLOW" : "TEAR_DOWN_FLOW",
    invocation: { kind: "hook", hook, timeoutMs: config.hookTimeoutMs },
    deployed,
  };
  await insertInvoked(store, [invoked]);
  const commandIds = await feed.transact((transaction) => enqueueInvoked(transaction, [invoked]));
  const timeoutMs = config.hookTimeoutMs + graceMs;
  const end = await waitForEnd(store, executionId, Date.now() + timeoutMs);
  if (end !== null) return end.error;
  const error = `No data plane ended it within ${timeoutMs} ms.`;
  // It must not run when nobody waits for it any more.
  await completeCommands(
    store,
    commandIds.map((id) => ({ id, error })),
  );
  return error;
}

/** Null where it has not ended in time. */
async function waitForEnd(
  store: Store,
  executionId: string,
  untilMs: number,
): Promise<{ error: string | null } | null> {
  while (true) {
    const end = await executionEnd(store, executionId);
    if (end !== null || Date.now() >= untilMs) return end;
    await sleep(lookMs);
  }
}
