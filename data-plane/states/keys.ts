/** Whose states a run sees. */
import type { StateKey } from "../../shared/states.ts";
import type { StateTexts } from "../runtime/messages.ts";

/** The names as flow code knows them. */
export interface RunStateKeys {
  instanceState: StateKey;
  crossFlowState: StateKey;
  integrationState: StateKey;
}

export type KeptStateName = keyof RunStateKeys;
export const keptStateNames = ["instanceState", "crossFlowState", "integrationState"] as const;

export interface RunFacts {
  /** Null for a shared preprocess flow. */
  instanceId: string | null;
  integrationId: string;
  systemInstanceId: string;
  flowStableKey: string;
  isEndpointTest: boolean;
}

/**
 * The instance's, and the integration's of all its instances. A shared preprocess flow is bound to no instance: its
 * integration stands in its place. Tests of a draft share nothing with what is deployed.
 */
export function stateKeysOf(run: RunFacts): RunStateKeys {
  const isTest = run.isEndpointTest || run.instanceId === run.systemInstanceId;
  const shared = isTest ? run.systemInstanceId : run.integrationId;
  const ownerId = run.instanceId ?? shared;
  return {
    instanceState: { scope: "FLOW", ownerId, stableKey: run.flowStableKey },
    crossFlowState: { scope: "INSTANCE", ownerId, stableKey: "" },
    integrationState: { scope: "INTEGRATION", ownerId: shared, stableKey: "" },
  };
}

/** Goes with an entry's meta to the thread that runs it. */
export const withStates = (metaJson: string, states: StateTexts): string =>
  `{"states":${JSON.stringify(states)},${metaJson.slice(1)}`;
