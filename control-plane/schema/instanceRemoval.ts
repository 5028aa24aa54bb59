/** Removing an instance: what its triggers do then, and what goes. */
import type { Context } from "../context.ts";
import { runRemoveHooks } from "../lifecycle.ts";
import { configuredVersionOf } from "../store/configuredVersions.ts";
import { touchInstance } from "../store/feedVersions.ts";
import { removeStates } from "../store/flowStates.ts";
import { deployedFlows } from "../store/invokedFlows.ts";
import { lifecycleOf } from "../store/lifecycle.ts";
import type { ConfigDatabase, ConfigTransaction } from "../store/store.ts";
import { waitForDataPlanes } from "../waitForDataPlanes.ts";
import { exclusivelyFor } from "./deploys.ts";
import { notFound } from "./inputs.ts";
import { InputError } from "./payloads.ts";
import type { InstanceRow } from "./refs.ts";

export interface RemovedInstance {
  instance: InstanceRow;
  pendingDataPlanes: string[];
  /** A sentence for each thing that its triggers could not do. */
  lifecycleProblems: string[];
}

export const removeInstance = (context: Context, id: string): Promise<RemovedInstance> =>
  exclusivelyFor(id, async () => {
    const { store, feed, log } = context;
    const lifecycleProblems = await runRemoveHooks(context, await lifecycleBefore(store.config, id));
    if (lifecycleProblems.length > 0)
      log.warn(
        { instanceId: id, problems: lifecycleProblems },
        "an instance is removed, but not all it has made",
      );
    const { instance, version } = await feed.transact(async (transaction) => {
      const instance = await removable(transaction, id);
      const version = await touchInstance(transaction, id);
      await transaction
        .deleteFrom("apiKeys")
        .where("ownerType", "=", "INSTANCE")
        .where("ownerId", "=", id)
        .execute();
      await transaction.deleteFrom("instances").where("id", "=", id).execute();
      return { instance, version };
    });
    await removeStates(store, [id]);
    return { instance, pendingDataPlanes: await waitForDataPlanes(context, version), lifecycleProblems };
  });

/** What is deployed says what is to be done; nothing where nothing is. */
async function lifecycleBefore(database: ConfigDatabase, id: string) {
  const instance = await removable(database, id);
  const { integrationId, deployedVersionId } = instance;
  if (deployedVersionId === null) return [];
  const deployed = await configuredVersionOf(database, { integrationId, versionId: deployedVersionId });
  return deployed === null ? [] : lifecycleOf(database, await deployedFlows(database, instance, deployed));
}

async function removable(database: ConfigDatabase | ConfigTransaction, id: string): Promise<InstanceRow> {
  const row = await database.selectFrom("instances").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw notFound("id", "instance");
  if (row.isSystem === 1)
    throw new InputError("id", "A system instance goes with its integration: delete that.");
  return row;
}
