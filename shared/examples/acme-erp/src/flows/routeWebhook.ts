import { flow } from "@prismatic-io/spectral";
import { readWebhook } from "../acmeWebhook.ts";
import { findExternalId } from "../customerDirectory.ts";

const flowNames: ReadonlyMap<string, string> = new Map([
  ["inventory_update", "Update Inventory"],
  ["create_order", "Create Order"],
]);

/** The preprocess flow: runs first for each webhook, and says whose it is and which flow is to have it. */
export const routeWebhook = flow({
  name: "Route Webhook",
  stableKey: "route-webhook",
  description: "Finds the customer and the flow that an Acme webhook is for",
  endpointSecurityType: "unsecured",
  preprocessFlowConfig: {
    flowNameField: "flowName",
    externalCustomerIdField: "customerExternalId",
  },
  onExecution: async ({ logger }, params) => {
    const webhook = readWebhook(params.onTrigger.results.body.data);
    const customerExternalId = await findExternalId(webhook.customerId);
    if (customerExternalId === undefined) {
      throw new Error(`Acme customer ${webhook.customerId} is not in the directory.`);
    }
    logger.info(`Acme customer ${webhook.customerId} is ${customerExternalId}`);
    const flowName = flowNames.get(webhook.type);
    if (flowName === undefined) throw new Error(`No flow is for webhooks of the type "${webhook.type}".`);
    logger.info(`A webhook of the type ${webhook.type} goes to "${flowName}"`);
    return { data: { customerExternalId, flowName } };
  },
});
