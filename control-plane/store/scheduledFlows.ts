/** What scheduled flows run on. */
import { readVersion } from "./configuredVersions.ts";
import { type DeployedFlow, deployedFlows } from "./invokedFlows.ts";
import type { ScheduleRow } from "./schedules.ts";
import type { ConfigDatabase } from "./store.ts";

/** The deployed flow of each row; none where it is not deployed any more, or its instance is paused. */
export async function scheduledFlows(
  database: ConfigDatabase,
  rows: readonly ScheduleRow[],
): Promise<Map<ScheduleRow, DeployedFlow>> {
  const ids = [...new Set(rows.map((row) => row.instanceId))];
  const instances = await database
    .selectFrom("instances")
    .selectAll()
    .where("id", "in", ids)
    .where("enabled", "=", 1)
    .execute();
  const found = new Map<ScheduleRow, DeployedFlow>();
  for (const instance of instances) {
    if (instance.deployedVersionId === null) continue;
    const configured = await readVersion(database, instance.integrationId, instance.deployedVersionId);
    if (configured === null) continue;
    const flows = await deployedFlows(database, instance, configured);
    for (const row of rows) {
      if (row.instanceId !== instance.id) continue;
      const deployed = flows.find(({ flow }) => flow.stableKey === row.stableKey);
      if (deployed !== undefined) found.set(row, deployed);
    }
  }
  return found;
}
