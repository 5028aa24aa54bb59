/** A run thread's heartbeat: there while it has something to do, and not otherwise. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { startThread } from "../data-plane/thread.ts";
import { readConfig } from "../shared/config.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

test("a run thread stands still until it takes something, and again when that is done", async () => {
  const folder = temporaryFolder();
  let ends = 0;
  const thread = startThread({
    memoryMb: 128,
    beatIntervalMs: 20,
    answerBytesMax: 1024,
    storedResults: { folder, bytesMax: 0 },
    outbound: readConfig({ SWITCHYARD_DATA_DIR: folder }).outbound,
    onMessage(message) {
      if (message.kind === "ready") thread.send(nothingToPrepare);
      if (message.kind === "end") ends++;
    },
    onExit() {},
  });
  onTestFinished(thread.terminate);
  for (let round = 1; round <= 2; round++) {
    await waitFor(() => ends === round);
    expect(thread.taken()).toBe(round);
    expect(thread.hasBeaten()).toBe(true);
    await waitFor(() => thread.rested() === round);
    thread.hasBeaten();
    await sleep(200);
    expect(thread.hasBeaten()).toBe(false);
    thread.send(nothingToPrepare);
  }
});

const nothingToPrepare = { kind: "prepare" as const, id: 1, work: { bundles: {}, steps: [] } };
