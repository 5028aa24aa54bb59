/** What an instance's flows keep, as an admin reads it. */
import { graphql } from "./graphql.ts";
import type { TestPlanes } from "./planes.ts";

export interface PersistedStates {
  crossFlowState: Record<string, unknown> | null;
  integrationState: Record<string, unknown> | null;
  /** Of each flow, by its name. */
  instanceState: Record<string, Record<string, unknown> | null>;
  /** Ids of flow configs by their flow's name. */
  flowConfigIds: Record<string, string>;
}

const document = `query ($id: ID!) {
  instance(id: $id) {
    crossFlowState integrationState flowConfigs { nodes { id flow { name } instanceState } }
  }
}`;

export async function persistedStates(
  planes: Pick<TestPlanes, "controlUrl" | "adminToken">,
  instanceId: string,
): Promise<PersistedStates> {
  const { instance } = await graphql(planes.controlUrl, planes.adminToken, document, { id: instanceId });
  const nodes = instance.flowConfigs.nodes as {
    id: string;
    flow: { name: string };
    instanceState: Record<string, unknown> | null;
  }[];
  return {
    crossFlowState: instance.crossFlowState,
    integrationState: instance.integrationState,
    instanceState: Object.fromEntries(nodes.map(({ flow, instanceState }) => [flow.name, instanceState])),
    flowConfigIds: Object.fromEntries(nodes.map(({ id, flow }) => [flow.name, id])),
  };
}
