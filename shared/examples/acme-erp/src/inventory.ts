import { isRecord } from "./acmeWebhook.ts";

export interface InventoryChange {
  transactionId: string;
  item: string;
  /** Units that came in; below zero where they went out. */
  units: number;
}

/** The changes of an inventory update. Throws with the line that is wrong, so that nothing is half applied. */
export function readInventoryChanges(data: unknown): InventoryChange[] {
  if (!Array.isArray(data) || data.length === 0)
    throw new Error("An inventory update needs a list of lines.");
  return data.map((line, index) => {
    const where = `Line ${index + 1} of the inventory update`;
    if (!isRecord(line)) throw new Error(`${where} is not an object.`);
    const { txid, item, quantity, state } = line;
    if (typeof txid !== "string" || typeof item !== "string")
      throw new Error(`${where} needs a txid and an item.`);
    if (typeof quantity !== "number" || !Number.isInteger(quantity) || quantity < 1) {
      throw new Error(`${where} needs a quantity of at least 1.`);
    }
    if (state !== "added" && state !== "removed")
      throw new Error(`${where} has the unknown state "${state}".`);
    return { transactionId: txid, item, units: state === "added" ? quantity : -quantity };
  });
}

export const describeChange = ({ item, units }: InventoryChange): string =>
  units > 0 ? `added ${units} x ${item}` : `removed ${-units} x ${item}`;
