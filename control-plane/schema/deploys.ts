/** Deploying an instance: what must hold, what is written, and what is waited for. */

import type { Context } from "../context.ts";
import { fetchMissingTokens } from "../oauth/connect.ts";
import { flowsWithoutKey } from "../store/apiKeys.ts";
import { enqueueCommand } from "../store/commandQueue.ts";
import { type ConfiguredVersion, configuredVersionOf, readDefinition } from "../store/configuredVersions.ts";
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
import { resetSchedules, scheduleProblems } from "../store/schedules.ts";
import type { ConfigTransaction, Store } from "../store/store.ts";
import { waitForCommand, waitForDataPlanes } from "../waitForDataPlanes.ts";
import { ensureFlowConfigs } from "./flowConfigs.ts";
import { notFound } from "./inputs.ts";
import { InputError, wholeInput } from "./payloads.ts";
import type { InstanceRow } from "./refs.ts";

/**
 * Deploys, then waits until the live data planes serve it and one of them has loaded its packages. A package
 * that can't be loaded undoes the deploy.
 */
export async function deploy(
  context: Context,
  id: string,
  isForced: boolean,
): Promise<{ instance: InstanceRow; pendingDataPlanes: string[] }> {
  const { feed, config, log } = context;
  const problems = await fetchMissingTokens(context, id);
  if (problems.length > 0 && !isForced) throw new InputError(wholeInput, problems);
  const { before, after, version, commandId } = await feed.transact((transaction) =>
    writeDeploy(transaction, context, id, isForced),
  );
  const isAnyoneLive = feed.liveDataPlanes().length > 0;
  const serving = waitForDataPlanes(context, version);
  const outcome = isAnyoneLive ? await waitForCommand(context, commandId, config.deployWaitMs) : null;
  if (outcome !== null && outcome.error !== null) {
    log.warn({ instanceId: id, error: outcome.error }, "a deploy was undone");
    const undone = await feed.transact((transaction) =>
      undoDeploy(transaction, context.store, before, after),
    );
    await waitForDataPlanes(context, undone);
    throw new InputError(wholeInput, `The deploy was undone: ${outcome.error}`);
  }
  const pendingDataPlanes = await serving;
  return { instance: after, pendingDataPlanes };
}

async function writeDeploy(
  transaction: ConfigTransaction,
  context: Context,
  id: string,
  isForced: boolean,
): Promise<{ before: InstanceRow; after: InstanceRow; version: number; commandId: string }> {
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
  // The definition that it ran on may be in use no more: it is touched before the row forgets it.
  await touchInstance(transaction, id);
  const now = Date.now();
  const changes = {
    deployedVersionId: configured.version.id,
    deployedSealedConfigVars: await sealedConfigVarsOf(transaction, store, id, configured.definition),
    deployedAtMs: now,
    needsDeploy: 0,
    updatedAtMs: now,
  };
  await transaction.updateTable("instances").set(changes).where("id", "=", id).execute();
  await ensureFlowConfigs(transaction, id, configured);
  await resetSchedules(transaction, store, id);
  const version = await touchInstance(transaction, id);
  const commandId = await enqueueCommand(transaction, "PREPARE_DEPLOY", {
    instanceId: id,
    definitionDigest: configured.definitionDigest,
  });
  return { before, after: { ...before, ...changes }, version, commandId };
}

/** Back to what was deployed before, unless somebody has deployed again meanwhile. */
async function undoDeploy(
  transaction: ConfigTransaction,
  store: Store,
  before: InstanceRow,
  after: InstanceRow,
): Promise<number> {
  await touchInstance(transaction, before.id);
  await transaction
    .updateTable("instances")
    .set({
      deployedVersionId: before.deployedVersionId,
      deployedSealedConfigVars: before.deployedSealedConfigVars,
      deployedAtMs: before.deployedAtMs,
      needsDeploy: 1,
    })
    .where("id", "=", before.id)
    .where("deployedAtMs", "=", after.deployedAtMs)
    .execute();
  await resetSchedules(transaction, store, before.id);
  return touchInstance(transaction, before.id);
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
