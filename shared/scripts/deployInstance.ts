/** Customers and instances: made where they are missing, so that a start that was cut short can go on. */
import { type Api, ApiError, accepted, request } from "./apiClient.ts";
import {
  createCustomerMutation,
  createInstanceMutation,
  deployInstanceMutation,
  findCustomerQuery,
  findInstanceQuery,
} from "./operations.ts";

export interface DeployedInstance {
  /** Node id. */
  instanceId: string;
  customerId: string;
  /** Webhook URLs by flow name. */
  webhookUrls: Record<string, string>;
}

export interface Deployment {
  integrationId: string;
  versionId: string;
  instanceName: string;
  customer: { name: string; externalId: string };
}

export async function deployToCustomer(api: Api, deployment: Deployment): Promise<DeployedInstance> {
  const { customer, integrationId, versionId, instanceName } = deployment;
  const customerId = await ensureCustomer(api, customer);
  const found = await request(api, findInstanceQuery, { customer: customerId, integration: integrationId });
  const instanceId =
    found.instances.nodes[0]?.id ?? (await createInstance(api, instanceName, versionId, customerId));
  const { instance } = accepted(
    (await request(api, deployInstanceMutation, { id: instanceId })).deployInstance,
  );
  if (!instance) throw new ApiError("deployInstance returned no instance.");
  const urls = instance.flowConfigs.nodes.map(({ flow, webhookUrl }) => [flow?.name ?? "", webhookUrl]);
  return { instanceId, customerId, webhookUrls: Object.fromEntries(urls) };
}

export async function ensureCustomer(api: Api, customer: Deployment["customer"]): Promise<string> {
  const found = await request(api, findCustomerQuery, { externalId: customer.externalId });
  const existing = found.customers.nodes[0];
  if (existing) return existing.id;
  const created = accepted((await request(api, createCustomerMutation, customer)).createCustomer);
  if (!created.customer) throw new ApiError("createCustomer returned no customer.");
  return created.customer.id;
}

async function createInstance(
  api: Api,
  name: string,
  versionId: string,
  customerId: string,
): Promise<string> {
  const variables = { name, integration: versionId, customer: customerId };
  const created = accepted((await request(api, createInstanceMutation, variables)).createInstance);
  if (!created.instance) throw new ApiError("createInstance returned no instance.");
  return created.instance.id;
}
