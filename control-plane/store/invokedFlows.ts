/**
 * Flows that the control plane itself has run: by their schedule, or as their instance is deployed and removed. Each
 * is an execution with a record from the start, and a command for a data plane.
 */
import { randomUUID } from "node:crypto";
import type { Flow } from "../../shared/definition.ts";
import { emptyRequest, type Invocation } from "../../shared/invocations.ts";
import type { InvokeType, StoredRequest } from "../../shared/reports.ts";
import { enqueueCommand } from "./commandQueue.ts";
import type { ConfiguredVersion } from "./configuredVersions.ts";
import { exclusively } from "./reportIngestion.ts";
import { type StartedExecution, startedRow } from "./startedExecutions.ts";
import type { ConfigDatabase, ConfigTransaction, Store } from "./store.ts";
import type { ConfigTables } from "./tables.ts";

/** A flow of what an instance has deployed. */
export interface DeployedFlow {
  instance: ConfigTables["instances"];
  /** The deployed version. */
  configured: ConfiguredVersion;
  flow: Flow;
  flowConfig: Pick<ConfigTables["instanceFlowConfigs"], "id" | "token">;
}

export interface InvokedFlow {
  executionId: string;
  invokeType: InvokeType;
  invocation: Invocation;
  deployed: DeployedFlow;
}

/** The flows of the deployed version that have a flow config, in its order. */
export async function deployedFlows(
  database: ConfigDatabase | ConfigTransaction,
  instance: ConfigTables["instances"],
  configured: ConfiguredVersion,
): Promise<DeployedFlow[]> {
  const rows = await database
    .selectFrom("instanceFlowConfigs")
    .select(["id", "token", "stableKey"])
    .where("instanceId", "=", instance.id)
    .execute();
  const byStableKey = new Map(rows.map((row) => [row.stableKey, row]));
  return configured.definition.flows.flatMap((flow) => {
    const flowConfig = byStableKey.get(flow.stableKey);
    return flowConfig === undefined ? [] : [{ instance, configured, flow, flowConfig }];
  });
}

/** Makes the records, which can be read at once. Those that are there already stay as they are. */
export function insertInvoked(store: Store, invoked: readonly InvokedFlow[]): Promise<void> {
  const rows = invoked.map((each) => startedRow(each.executionId, startedOf(each), Date.now()));
  return exclusively(store, (writer) =>
    writer.transaction(() => {
      for (const { row, requestJson } of rows) writer.insertStarted(row, requestJson);
    }),
  );
}

/** Takes back records whose commands were not enqueued. */
export function removeInvoked(store: Store, executionIds: readonly string[]): Promise<void> {
  return exclusively(store, (writer) => writer.transaction(() => writer.remove(executionIds)));
}

/** Queues the commands, which are carried out on the configuration of this transaction or a later one; returns their ids. */
export async function enqueueInvoked(
  transaction: ConfigTransaction,
  invoked: readonly InvokedFlow[],
): Promise<string[]> {
  if (invoked.length === 0) return [];
  const meta = await transaction
    .selectFrom("meta")
    .select("value")
    .where("key", "=", "feedVersion")
    .executeTakeFirstOrThrow();
  const commandIds: string[] = [];
  for (const each of invoked) {
    const { isDebug, replayOf, request } = startedOf(each);
    const commandId = await enqueueCommand(transaction, "INVOKE_FLOW", {
      executionId: each.executionId,
      instanceId: each.deployed.instance.id,
      flowStableKey: each.deployed.flow.stableKey,
      feedVersion: Number(meta.value),
      invokeType: each.invokeType,
      isDebug,
      replayOf,
      invokedBy: null,
      request,
    });
    commandIds.push(commandId);
  }
  return commandIds;
}

function startedOf({ invokeType, invocation, deployed }: InvokedFlow): StartedExecution {
  const { instance, configured, flow, flowConfig } = deployed;
  return {
    invokeType,
    isTest: instance.isSystem === 1,
    isDebug: instance.globalDebug === 1,
    integrationId: instance.integrationId,
    versionId: configured.version?.id ?? instance.integrationId,
    versionNumber: configured.version?.number ?? 0,
    instanceId: instance.id,
    customerId: instance.customerId,
    flowId: configured.flowIds.get(flow.stableKey) ?? null,
    flowConfigId: flowConfig.id,
    flowStableKey: flow.stableKey,
    flowName: flow.name,
    replayOf: null,
    request: requestOf(invocation, flowConfig.token),
  };
}

/** `token`: of the flow's own URL, which flow code sees as the one that it was invoked by. */
const requestOf = (invocation: Invocation, token: string): StoredRequest => ({
  ...emptyRequest,
  receivedAtMs: Date.now(),
  requestId: randomUUID(),
  token,
  invocation,
});
