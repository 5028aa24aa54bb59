/** Instances that need values before they can be deployed: made, configured and deployed over GraphQL. */
import { graphql } from "./graphql.ts";
import type { TestPlanes } from "./planes.ts";

type Reachable = Pick<TestPlanes, "controlUrl" | "adminToken">;
type Data = Record<string, unknown>;

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
type Answer = any;

export const api = (planes: Reachable, document: string, variables: Data = {}): Promise<Answer> =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

export async function newCustomer(planes: Reachable, externalId: string): Promise<string> {
  const { createCustomer } = await api(
    planes,
    `mutation ($externalId: String!) { createCustomer(input: { name: $externalId, externalId: $externalId }) {
      customer { id } errors { field messages } } }`,
    { externalId },
  );
  return createCustomer.customer.id;
}

export async function newInstance(
  planes: Reachable,
  integration: string,
  customer: string,
  configVariables: readonly Data[] = [],
): Promise<string> {
  const { createInstance } = await api(
    planes,
    `mutation ($input: CreateInstanceInput!) { createInstance(input: $input) { instance { id } errors { field messages } } }`,
    { input: { name: `Instance of ${customer}`, integration, customer, configVariables } },
  );
  if (createInstance.errors.length > 0) throw new Error(JSON.stringify(createInstance.errors));
  return createInstance.instance.id;
}

/** The errors of the change. */
export async function configure(
  planes: Reachable,
  id: string,
  configVariables: readonly Data[],
): Promise<Answer> {
  const { updateInstanceConfigVariables } = await api(
    planes,
    `mutation ($id: ID!, $configVariables: [InputInstanceConfigVariable!]) {
      updateInstanceConfigVariables(input: { id: $id, configVariables: $configVariables }) { instance { id } errors { field messages } } }`,
    { id, configVariables },
  );
  return updateInstanceConfigVariables.errors;
}

/** The errors of the deploy, and where webhooks are posted to. */
export async function deploy(planes: Reachable, id: string): Promise<{ errors: Answer; url: string }> {
  const { deployInstance } = await api(
    planes,
    `mutation ($id: ID!) { deployInstance(input: { id: $id }) {
      instance { flowConfigs { nodes { webhookUrl } } } errors { field messages } } }`,
    { id },
  );
  const { instance, errors } = deployInstance;
  return { errors, url: instance?.flowConfigs.nodes[0].webhookUrl ?? "" };
}

/** The instance's config variables by key. */
export async function configVariables(
  planes: Reachable,
  id: string,
  token?: string,
): Promise<Record<string, Answer>> {
  const { instance } = await graphql(
    planes.controlUrl,
    token ?? planes.adminToken,
    `query ($id: ID!) { instance(id: $id) { configVariables { nodes {
      id value status error authorizeUrl refreshAt lastSuccessfulRefreshAt isConfigured scheduleType timeZone
      inputs { nodes { name value hasValue } }
      requiredConfigVariable { key dataType defaultValue orgOnly hasDataSource oauth2Type userLevelConfigured }
    } } } }`,
    { id },
  );
  const nodes: Answer[] = instance.configVariables.nodes;
  return Object.fromEntries(nodes.map((node) => [node.requiredConfigVariable.key, node]));
}

export const connectionInput = (key: string, fields: Data): Data => ({
  key,
  values: JSON.stringify(Object.entries(fields).map(([name, value]) => ({ name, type: "value", value }))),
});
