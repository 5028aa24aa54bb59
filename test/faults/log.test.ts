/** An ingress log whose writes fail one by one, while others of it are under way. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { openTestJournal } from "../support/journals.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import { waitFor } from "../support/waitFor.ts";
import { buildShim, newFaults } from "./shim.ts";

const folder = newTemporaryFolder();
const shim = buildShim(folder);
const writer = join(import.meta.dirname, "../support/unluckyWriter.ts");
afterAll(() => removeFolder(folder));

describe.skipIf(shim === null)("an ingress log of which single syncs fail", () => {
  test("has what it accepted and nothing of what it refused", async () => {
    const journalFolder = join(folder, "journal");
    const faults = newFaults(shim!, folder, journalFolder);
    const child = spawn(process.execPath, [writer, journalFolder], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...faults.environment },
    });
    const exited = once(child, "exit");
    const said = { accepted: new Set<string>(), refused: new Set<string>() };
    let hasEnded = false;
    const lines = createInterface(child.stdout);
    const opened = once(lines, "line");
    lines.on("line", (line) => {
      const [what, id] = line.split(" ") as [string, string];
      if (what === "accepted" || what === "refused") said[what].add(id);
      else hasEnded = what === "ended";
    });
    try {
      await opened;
      for (let round = 0; round < 20; round++) {
        faults.set({ sync: "EIO", oneIn: 4 });
        const before = faults.failed();
        for (let turns = 0; turns < 400 && faults.failed() === before; turns++) await sleep(1);
        faults.set({});
        await sleep(100 + Math.random() * 50);
      }
      child.stdin.end();
      await exited;
    } finally {
      child.kill("SIGKILL");
    }
    expect(hasEnded).toBe(true);
    expect(faults.failed()).toBeGreaterThanOrEqual(15);
    expect(said.refused.size).toBeGreaterThan(15);
    expect(said.accepted.size).toBeGreaterThan(1000);

    const { journal, entries, lines: told } = await openTestJournal(journalFolder);
    await waitFor(() => entries.length === journal.stats().recovered);
    const there = new Set(entries.map(({ id }) => id));
    expect(entries).toHaveLength(there.size);
    expect([...said.accepted].filter((id) => !there.has(id))).toEqual([]);
    expect([...there].filter((id) => !said.accepted.has(id))).toEqual([]);
    expect(told.filter(({ level }) => level === "error")).toEqual([]);
    await journal.close();
  }, 60_000);
});
