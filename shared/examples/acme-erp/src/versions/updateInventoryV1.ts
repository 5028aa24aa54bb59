import { flow } from "@prismatic-io/spectral";
import { readWebhook } from "../acmeWebhook.ts";
import { describeChange, readInventoryChanges } from "../inventory.ts";

/** "Update Inventory" as version 1 had it: no totals. */
export const updateInventoryV1 = flow({
  name: "Update Inventory",
  stableKey: "update-inventory",
  description: "Applies the stock movements that Acme reports",
  onExecution: async ({ logger, customer, configVars }, params) => {
    const { data } = readWebhook(params.onTrigger.results.body.data);
    const changes = readInventoryChanges(data);
    const warehouse = configVars.Warehouse;
    for (const change of changes) {
      logger.info(`${warehouse}: ${describeChange(change)} (${change.transactionId})`);
    }
    return { data: { version: 1, customer: customer.externalId, warehouse, lines: changes.length } };
  },
});
