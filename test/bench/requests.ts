/** What is sent: Acme ERP's inventory update, and bodies of other sizes in its form. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Target {
  path: string;
  /** "-" where no key is sent. */
  key: string;
  /** The external id of the customer whose it is. */
  customer: string;
}

const usualBytes = 600;

/** The inventory update with as many lines as come nearest to that size. */
export function inventoryUpdate(bytes = usualBytes): string {
  const line = (index: number): object => ({
    txid: `E865298B-A3EC-4D17-B410-${String(index).padStart(12, "0")}`,
    item: "bowler hat",
    quantity: 5,
    state: "removed",
  });
  const bodyOf = (lines: number): string =>
    JSON.stringify({
      customerId: "%CUSTOMER%",
      type: "inventory_update",
      data: Array.from({ length: lines }, (_, index) => line(index + 1)),
    });
  const one = bodyOf(1).length;
  return bodyOf(Math.max(1, 1 + Math.round((bytes - one) / (bodyOf(2).length - one))));
}

export function writeTargets(folder: string, name: string, targets: readonly Target[]): string {
  const file = join(folder, `${name}.tsv`);
  writeFileSync(file, targets.map(({ path, key, customer }) => `${path}\t${key}\t${customer}\n`).join(""));
  return file;
}

export function writeBody(folder: string, bytes?: number): string {
  const file = join(folder, `body-${bytes ?? "usual"}.json`);
  writeFileSync(file, inventoryUpdate(bytes));
  return file;
}
