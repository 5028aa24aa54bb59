/** What a death of the process leaves: real processes, killed at random points while everything is under way. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { confirmAll, endEntry, openTestJournal } from "./support/journals.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const rounds = 16;
const writer = join(import.meta.dirname, "support/journalWriter.ts");

interface Known {
  accepted: Set<string>;
  starting: Set<string>;
  started: Set<string>;
  mayBeGone: Set<string>;
  gone: Set<string>;
  compactions: number;
}

/** Runs the writer and kills it; what it said is added to what is known. */
async function killWriter(folder: string, afterMs: number, known: Known): Promise<void> {
  const child = spawn(process.execPath, [writer, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const recovered = new Map<string, number>();
  const before = {
    accepted: new Set(known.accepted),
    starting: new Set(known.starting),
    started: new Set(known.started),
  };
  try {
    for await (const line of createInterface(child.stdout)) hear(line);
  } finally {
    child.kill("SIGKILL");
  }
  const [, signal] = await exited;
  expect(signal).toBe("SIGKILL");

  function hear(line: string): void {
    const [what, id, number] = line.split(" ") as [string, string, string];
    if (what === "accepted") known.accepted.add(id);
    else if (what === "starting") known.starting.add(id);
    else if (what === "started") known.started.add(id);
    else if (what === "confirming") known.mayBeGone.add(id);
    else if (what === "gone") known.gone.add(id);
    else if (what === "compacted") known.compactions += Number(id);
    else if (what === "recovered") {
      expect(recovered.has(id), "an entry was recovered twice").toBe(false);
      expect(known.gone.has(id), "an entry came back").toBe(false);
      recovered.set(id, Number(number));
    } else if (what === "opened") {
      setTimeout(() => child.kill("SIGKILL"), afterMs);
      for (const [of, attempt] of recovered) {
        if (before.started.has(of)) expect(attempt, "an attempt was not counted").toBeGreaterThan(1);
        else if (before.accepted.has(of) && !before.starting.has(of)) expect(attempt).toBe(1);
      }
    }
  }
}

describe("a journal whose process is killed", () => {
  test("has every record that was acknowledged, once, with its attempts, and comes to be empty", async () => {
    const folder = temporaryFolder();
    const known: Known = {
      accepted: new Set(),
      starting: new Set(),
      started: new Set(),
      mayBeGone: new Set(),
      gone: new Set(),
      compactions: 0,
    };
    for (let round = 0; round < rounds; round++) await killWriter(folder, 100 + Math.random() * 400, known);
    expect(known.compactions).toBeGreaterThan(0);

    const { journal, entries, bounds, lines } = await openTestJournal(folder);
    const ids = entries.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const entry of entries) await endEntry(journal, entry);
    const there = new Set([...ids, ...confirmAll(journal).map(({ key }) => key.split("/")[0]!)]);
    const lost = [...known.accepted].filter((id) => !there.has(id) && !known.mayBeGone.has(id));
    expect(lost).toEqual([]);
    expect([...there].filter((id) => known.gone.has(id))).toEqual([]);
    expect(known.gone.size).toBeGreaterThan(0);
    expect(known.accepted.size).toBeGreaterThan(rounds * 10);
    expect(bounds.read()).toEqual({ entries: 0, bytes: 0 });
    expect(lines.filter(({ level }) => level === "error")).toEqual([]);
    await journal.close();

    const again = await openTestJournal(folder);
    expect(again.entries).toEqual([]);
    expect(again.journal.reports(10, 1_000_000)).toEqual([]);
    await again.journal.close();
  }, 60_000);
});
