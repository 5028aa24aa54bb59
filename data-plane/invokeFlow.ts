/** Makes the entry of a flow that no request has started: a tick of its schedule, or an event of its instance's life. */
import type { Command } from "../shared/commands.ts";
import { flowByStableKey } from "../shared/definition.ts";
import type { Invocation } from "../shared/invocations.ts";
import type { Executions } from "./executions.ts";
import type { EntryMeta } from "./journal/entry.ts";
import { queueKeyOf } from "./queueKeys.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import { endpointOf } from "./resolve.ts";

export interface InvokeFlowOptions {
  replica: ReplicaReader;
  executions: Pick<Executions, "append">;
}

export type InvokeFlowPayload = Extract<Command, { kind: "INVOKE_FLOW" }>["payload"];

/** The feed may be a moment behind the command. */
const feedWaitMs = 5_000;
const lookMs = 25;

/** Null when the entry is on disk, else why there is none. */
export async function invokeFlow(
  { replica, executions }: InvokeFlowOptions,
  payload: InvokeFlowPayload,
): Promise<string | null> {
  const untilMs = Date.now() + feedWaitMs;
  while (replica.position().version < payload.feedVersion) {
    if (Date.now() > untilMs) return "This data plane does not have the instance's present configuration.";
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  const instance = replica.instance(payload.instanceId);
  const endpoint = instance && endpointOf(replica, instance);
  const flow = endpoint ? flowByStableKey(endpoint.source.definition, payload.flowStableKey) : undefined;
  if (!instance || !endpoint || flow === undefined) return "The flow is not deployed on this data plane.";
  const { body, ...request } = payload.request;
  if (!instance.entity.isEnabled && !isOfLife(request.invocation))
    return `The instance "${instance.entity.name}" is paused.`;
  const instanceId = instance.entity.id;
  // Who deploys or removes the instance does not wait for what else its flows have to do.
  const isHook = request.invocation?.kind === "hook";
  const queueKey = isHook ? `hooks-of-${instanceId}` : queueKeyOf(instanceId, flow, () => undefined);
  const meta: EntryMeta = {
    id: payload.executionId,
    invokeType: payload.invokeType,
    isDebug: payload.isDebug,
    replayOf: payload.replayOf,
    invokedBy: payload.invokedBy,
    isEndpointTest: false,
    isWaiting: false,
    ...(queueKey === null ? {} : { queueKey }),
    route: {
      kind: "flow",
      endpointKind: endpoint.kind,
      generation: replica.generation,
      instanceId,
      instanceVersion: instance.version,
      integrationId: endpoint.integration.entity.id,
      integrationVersion: endpoint.integration.version,
      definitionDigest: endpoint.source.digest,
      versionId: endpoint.versionId,
      versionNumber: endpoint.versionNumber,
      flowStableKey: flow.stableKey,
      userId: null,
    },
    request: { ...request, receivedAtMs: Date.now() },
  };
  await executions.append(meta, body === null ? null : Buffer.from(body, "base64"));
  return null;
}

/** What belongs to a deploy or a removal, which a pause does not keep from happening. */
const isOfLife = (invocation: Invocation | undefined): boolean =>
  invocation !== undefined && ["hook", "deploy", "remove"].includes(invocation.kind);
