/** Deploying an instance: what must hold, what is written, and what is waited for. */

import type { Context } from "../context.ts";
import { deployHooks, hasHooks, runDeployHooks, startDeployFlows } from "../lifecycle.ts";
import { fetchMissingTokens } from "../oauth/connect.ts";
import { flowsWithoutKey } from "../store/apiKeys.ts";
import { enqueueCommand } from "../store/commandQueue.ts";
import {
  type ConfiguredVersion,
  configuredVersionOf,
  readDefinition,
  readVersion,
} from "../store/configuredVersions.ts";
import {
  configVarValues,
  instanceOwner,
  missingConfigVariables,
  readConfigVariables,
  sealedConfigVarsOf,
  unauthorizedConnections,
  unfitConfigVariables,
} from "../store/configVariables.ts";
import { touchInstance } from "../store/feedVersions.ts";
import { deployedFlows } from "../store/invokedFlows.ts";
import { type FlowLifecycle, lifecycleOf } from "../store/lifecycle.ts";
import { resetSchedules, scheduleProblems } from "../store/schedules.ts";
import type { ConfigTransaction, Store } from "../store/store.ts";
import { deployUserConfigs } from "../store/userConfigs.ts";
import { waitForCommand, waitForDataPlanes } from "../waitForDataPlanes.ts";
import { ensureFlowConfigs } from "./flowConfigs.ts";
import { notFound } from "./inputs.ts";
import { InputError, wholeInput } from "./payloads.ts";
import type { InstanceRow } from "./refs.ts";

/** Instances that are being deployed or removed: a second one beside it would run the same hooks. */
const underWay = new Set<string>();

/** Nobody else deploys or removes the instance meanwhile. */
export async function exclusivelyFor<Result>(
  instanceId: string,
  work: () => Promise<Result>,
): Promise<Result> {
  if (underWay.has(instanceId)) {
    throw new InputError(
      "id",
      "The instance is being deployed or removed already. Wait until that has ended, and try again.",
    );
  }
  underWay.add(instanceId);
  try {
    return await work();
  } finally {
    underWay.delete(instanceId);
  }
}

interface Deploy {
  before: InstanceRow;
  after: InstanceRow;
  version: number;
  commandId: string;
  lifecycle: FlowLifecycle[];
}

/**
 * Deploys, then waits until the live data planes serve it and one of them has loaded its packages, and runs what its
 * triggers want to do on a deploy. A package that can't be loaded, or a trigger that fails, undoes the deploy.
 */
export const deploy = (
  context: Context,
  id: string,
  isForced: boolean,
): Promise<{ instance: InstanceRow; pendingDataPlanes: string[] }> =>
  exclusivelyFor(id, async () => {
    const { feed, config, log } = context;
    const problems = await fetchMissingTokens(context, id);
    if (problems.length > 0 && !isForced) throw new InputError(wholeInput, problems);
    const written = await feed.transact((transaction) => writeDeploy(transaction, context, id, isForced));
    const { after, version, commandId, lifecycle } = written;
    const isAnyoneLive = feed.liveDataPlanes().length > 0;
    const serving = waitForDataPlanes(context, version);
    const outcome = isAnyoneLive ? await waitForCommand(context, commandId, config.deployWaitMs) : null;
    const error = outcome?.error ?? (await runDeployHooks(context, lifecycle));
    if (error !== null) {
      log.warn({ instanceId: id, error }, "a deploy was undone");
      const undone = await feed.transact((transaction) => undoDeploy(transaction, context.store, written));
      await waitForDataPlanes(context, undone);
      throw new InputError(wholeInput, `The deploy was undone: ${error}`);
    }
    if (lifecycle.length > 0) await finishDeploy(context, written);
    const pendingDataPlanes = await serving;
    return { instance: { ...after, needsDeploy: 0 }, pendingDataPlanes };
  });

async function writeDeploy(
  transaction: ConfigTransaction,
  context: Context,
  id: string,
  isForced: boolean,
): Promise<Deploy> {
  const { store } = context;
  const before = await transaction
    .selectFrom("instances")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  if (before === undefined) throw notFound("id", "instance");
  if (before.isSystem === 1) {
    throw new InputError("id", "A system instance runs the draft as it is: it needs no deploy.");
  }
  const configured = await configuredVersionOf(transaction, before);
  if (configured?.version == null) throw notFound("id", "version to deploy");
  if (!isForced) {
    refuseUnavailable(configured.version);
    const given = await readConfigVariables(transaction, store, instanceOwner(id));
    const unauthorized = unauthorizedConnections(configured.definition, given);
    const missing = missingConfigVariables(configured.definition, given);
    refuseMissing(missing.filter((key) => !unauthorized.includes(key)));
    refuseUnauthorized(unauthorized);
    const unfit = unfitConfigVariables(configured.definition, given);
    if (unfit.length > 0) throw new InputError(wholeInput, unfit);
  }
  await refuseWithoutKeys(transaction, id, configured);
  await refuseSecondShared(transaction, before, configured);
  await refuseSchedules(transaction, store, id, configured);
  await ensureFlowConfigs(transaction, id, configured);
  const flows = await deployedFlows(transaction, before, configured);
  const lifecycle = await lifecycleOf(transaction, flows);
  refuseHooksWithoutDataPlane(context, lifecycle);
  // The definition that it ran on may be in use no more: it is touched before the row forgets it.
  await touchInstance(transaction, id);
  const now = Date.now();
  const changes = {
    deployedVersionId: configured.version.id,
    deployedSealedConfigVars: await sealedConfigVarsOf(transaction, store, id, configured.definition),
    deployedAtMs: now,
    firstDeployedAtMs: lifecycle.length > 0 ? before.firstDeployedAtMs : (before.firstDeployedAtMs ?? now),
    // Until its hooks have run it is not done: should this process end meanwhile, it is to be deployed again.
    needsDeploy: lifecycle.length > 0 ? 1 : 0,
    updatedAtMs: now,
  };
  await transaction.updateTable("instances").set(changes).where("id", "=", id).execute();
  if (lifecycle.length === 0) await resetSchedules(transaction, store, id);
  await deployUserConfigs(transaction, store, id, configured.definition);
  const version = await touchInstance(transaction, id);
  const commandId = await enqueueCommand(transaction, "PREPARE_DEPLOY", {
    instanceId: id,
    definitionDigest: configured.definitionDigest,
  });
  return { before, after: { ...before, ...changes }, version, commandId, lifecycle };
}

/** What its triggers wanted to do went well: its flows may run by themselves now. */
async function finishDeploy(context: Context, { after, lifecycle }: Deploy): Promise<void> {
  const isFirst = after.firstDeployedAtMs === null;
  await startDeployFlows(context, lifecycle, isFirst, async (transaction) => {
    await transaction
      .updateTable("instances")
      .set({ firstDeployedAtMs: after.firstDeployedAtMs ?? Date.now() })
      .where("id", "=", after.id)
      .execute();
    await transaction
      .updateTable("instances")
      .set({ needsDeploy: 0 })
      .where("id", "=", after.id)
      // What was changed meanwhile waits for the next deploy.
      .where("updatedAtMs", "=", after.updatedAtMs)
      .execute();
    await resetSchedules(transaction, context.store, after.id);
  });
}

/** Back to what was deployed before, unless somebody has deployed again meanwhile. */
async function undoDeploy(
  transaction: ConfigTransaction,
  store: Store,
  { before, after }: Deploy,
): Promise<number> {
  await touchInstance(transaction, before.id);
  await transaction
    .updateTable("instances")
    .set({
      deployedVersionId: before.deployedVersionId,
      deployedSealedConfigVars: before.deployedSealedConfigVars,
      deployedAtMs: before.deployedAtMs,
      firstDeployedAtMs: before.firstDeployedAtMs,
      needsDeploy: 1,
    })
    .where("id", "=", before.id)
    .where("deployedAtMs", "=", after.deployedAtMs)
    .execute();
  await resetSchedules(transaction, store, before.id);
  const { integrationId, deployedVersionId } = before;
  const previous =
    deployedVersionId === null ? null : await readVersion(transaction, integrationId, deployedVersionId);
  if (previous !== null) await deployUserConfigs(transaction, store, before.id, previous.definition);
  return touchInstance(transaction, before.id);
}

function refuseHooksWithoutDataPlane({ feed }: Context, lifecycle: readonly FlowLifecycle[]): void {
  if (!hasHooks(lifecycle, deployHooks) || feed.liveDataPlanes().length > 0) return;
  throw new InputError(
    wholeInput,
    "Triggers of this version have functions that run on a deploy (onInstanceDeploy, webhookLifecycleHandlers), and no data plane is connected to run them. Start one, and deploy again.",
  );
}

function refuseUnavailable(version: NonNullable<ConfiguredVersion["version"]>): void {
  if (version.isAvailable === 1) return;
  throw new InputError(
    wholeInput,
    `Version ${version.number} is marked as not available. Move the instance to another, or force the deploy.`,
  );
}

function refuseMissing(keys: string[]): void {
  if (keys.length === 0) return;
  throw new InputError(
    wholeInput,
    `These config variables have no value: ${keys.map((key) => `"${key}"`).join(", ")}.`,
  );
}

async function refuseSchedules(
  transaction: ConfigTransaction,
  store: Store,
  id: string,
  { definition }: ConfiguredVersion,
): Promise<void> {
  const given = await readConfigVariables(transaction, store, instanceOwner(id));
  const problems = scheduleProblems(definition.flows, configVarValues(definition, given));
  if (problems.length > 0) throw new InputError(wholeInput, problems);
}

function refuseUnauthorized(keys: string[]): void {
  if (keys.length === 0) return;
  throw new InputError(
    wholeInput,
    `These connections must be authorized first, each at its authorizeUrl: ${keys.map((key) => `"${key}"`).join(", ")}.`,
  );
}

async function refuseWithoutKeys(
  transaction: ConfigTransaction,
  id: string,
  { definition }: ConfiguredVersion,
): Promise<void> {
  const flows = await flowsWithoutKey(transaction, id, definition);
  if (flows.length === 0) return;
  throw new InputError(
    wholeInput,
    `These flows need an API key of the customer before the deploy: ${flows.map((flow) => `"${flow.name}"`).join(", ")}.`,
  );
}

/** A webhook to the shared URL must find one instance of the customer, not two. */
async function refuseSecondShared(
  transaction: ConfigTransaction,
  instance: InstanceRow,
  { definition }: ConfiguredVersion,
): Promise<void> {
  const others = await transaction
    .selectFrom("instances")
    .innerJoin("versions", "versions.id", "instances.deployedVersionId")
    .select(["instances.name", "versions.definitionDigest"])
    .where("instances.integrationId", "=", instance.integrationId)
    .where("instances.customerId", "=", instance.customerId)
    .where("instances.id", "!=", instance.id)
    .execute();
  for (const other of others) {
    const deployed = await readDefinition(transaction, other.definitionDigest);
    const isShared =
      definition.endpointType === "shared_instance" || deployed.endpointType === "shared_instance";
    if (!isShared) continue;
    throw new InputError(
      wholeInput,
      `The customer has an instance of this shared integration already: "${other.name}". Remove that one first.`,
    );
  }
}
