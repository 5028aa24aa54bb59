import { flow } from "@prismatic-io/spectral";
import { readWebhook } from "../acmeWebhook.ts";
import { describeChange, type InventoryChange, readInventoryChanges } from "../inventory.ts";

/** Since version 2 the summary also totals the units of each item. */
export const updateInventory = flow({
  name: "Update Inventory",
  stableKey: "update-inventory",
  description: "Applies the stock movements that Acme reports, and totals them",
  onExecution: async ({ logger, customer, configVars }, params) => {
    const { data } = readWebhook(params.onTrigger.results.body.data);
    const changes = readInventoryChanges(data);
    const warehouse = configVars.Warehouse;
    for (const change of changes) {
      logger.info(`${warehouse}: ${describeChange(change)} (${change.transactionId})`);
    }
    const totals = totalUnits(changes);
    logger.info(`${changes.length} lines changed the stock of ${Object.keys(totals).length} items`);
    return { data: { version: 2, customer: customer.externalId, warehouse, lines: changes.length, totals } };
  },
});

function totalUnits(changes: InventoryChange[]): Record<string, number> {
  const totals = new Map<string, number>();
  for (const { item, units } of changes) totals.set(item, (totals.get(item) ?? 0) + units);
  return Object.fromEntries(totals);
}
