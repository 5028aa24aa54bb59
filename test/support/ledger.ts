/** What the flows of the fixtures with a ledger noted: their runs, counted by what they did. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface LedgerLine {
  executionId: string;
  what: "started" | "ended" | "dispatched";
}

export interface Ledger {
  file: string;
  /** All lines, in the order in which they were written. */
  lines(): LedgerLine[];
  /** How often the flow of each execution was started. */
  starts(): Map<string, number>;
  clear(): void;
}

export function newLedger(folder: string): Ledger {
  const file = join(folder, "ledger.txt");
  writeFileSync(file, "");
  const lines = (): LedgerLine[] =>
    readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [executionId, what] = line.split(" ");
        return { executionId: executionId!, what: what as LedgerLine["what"] };
      });
  return {
    file,
    lines,
    clear: () => writeFileSync(file, ""),
    starts() {
      const starts = new Map<string, number>();
      for (const { executionId, what } of lines()) {
        if (what === "started") starts.set(executionId, (starts.get(executionId) ?? 0) + 1);
      }
      return starts;
    },
  };
}

/** The most runs that were under way at once, by the order of the lines. */
export function mostAtOnce(lines: LedgerLine[]): number {
  let now = 0;
  let most = 0;
  for (const { what } of lines) {
    if (what === "started") most = Math.max(most, ++now);
    else if (what === "ended") now--;
  }
  return most;
}
