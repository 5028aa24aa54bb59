/** What a data plane knows of its flows' states, over a real journal and a real disk; the control plane is told what to say. */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StateTexts } from "../data-plane/runtime/messages.ts";
import { withChanges } from "../data-plane/states/changes.ts";
import { stateKeysOf } from "../data-plane/states/keys.ts";
import { openStates, type States, type StatesOptions } from "../data-plane/states/states.ts";
import { newId } from "../shared/ids.ts";
import {
  type StateKey,
  type StateWrite,
  type StoredState,
  stateKeyText,
  stateVersion,
} from "../shared/states.ts";
import { executionEvent } from "./support/executionEvent.ts";
import { metaOf, openTestJournal, type TestJournal } from "./support/journals.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

const place = {
  instanceId: "instance-1",
  integrationId: "integration-1",
  systemInstanceId: "system-1",
  flowStableKey: "f",
  isEndpointTest: false,
};
const keys = stateKeysOf(place);
const textOfKey = stateKeyText(keys.instanceState);

let folder: string;
let opened: TestJournal;
let states: States | undefined;
/** What was said of errors. */
let problems: string[];
/** What the control plane has; null while it is away. */
let stored: Map<string, StoredState> | null;

beforeEach(async () => {
  folder = newTemporaryFolder();
  opened = await openTestJournal(join(folder, "journal"));
  stored = new Map();
  problems = [];
});
afterEach(async () => {
  states?.stop();
  states = undefined;
  await opened.journal.close();
  removeFolder(folder);
});

const controlPlane: StatesOptions["controlPlane"] = {
  async feedStateKeys() {
    const listed = [...there().keys()].map((text) => {
      const [ownerId, scope, stableKey] = text.split("/");
      return { ownerId, scope, stableKey } as StateKey;
    });
    return { epoch: "store", keys: listed, position: listed.length, hasMore: false };
  },
  feedStates: async (known) =>
    known.map(({ version, ...key }) => {
      const found = there().get(stateKeyText(key)) ?? null;
      return found !== null && stateVersion(found) === version ? "SAME" : found;
    }),
};

function there(): Map<string, StoredState> {
  if (stored === null) throw new Error("away");
  return stored;
}

const open = (name = "states.db", runTimeoutMs = 60_000): States => {
  states?.stop();
  states = openStates({
    file: join(folder, name),
    controlPlane,
    unconfirmed: opened.journal.unconfirmedStates,
    runTimeoutMs,
    logger: pino({ level: "error" }, { write: (line) => void problems.push(JSON.parse(line).msg) }),
  });
  return states;
};

const read = async (): Promise<StateTexts | null> => states!.read(keys);

/** A run that ends with this state, as executions.ts tells of it. */
async function run(
  count: number | string,
  of = keys,
): Promise<{ eventKey: string; writes: StateWrite[]; id: string }> {
  const id = newId();
  const writes = states!.writes(
    withChanges(null, of, { instanceState: typeof count === "string" ? count : `{"count":${count}}` }),
  );
  const event = executionEvent({ id });
  event.finish!.states = writes;
  await opened.journal.append(metaOf(id), null);
  const pending = opened.entries.find((entry) => entry.id === id)!;
  opened.journal.start([pending]);
  const eventKey = `${id}/1/1`;
  await opened.journal.report(pending, eventKey, JSON.stringify(event), true, true);
  states!.saved(eventKey, id, writes);
  return { eventKey, writes, id };
}

const store = ({ id, writes }: Awaited<ReturnType<typeof run>>) => {
  for (const write of writes)
    stored!.set(stateKeyText(write), { stamp: write.stamp, executionId: id, value: write.value });
};

async function reopenJournal(): Promise<void> {
  await opened.journal.close();
  opened = await openTestJournal(join(folder, "journal"));
}

describe("a state", () => {
  test("of an unconfirmed event is taken from the journal, also where the copy is gone, and wins over what is stored", async () => {
    open();
    await read();
    store(await run(1));
    await run(2);
    await run(3);
    states!.stop();
    await reopenJournal();
    open("another.db");
    expect(await read()).toEqual({ instanceState: '{"count":3}' });
    expect(states!.stats().unconfirmed).toBe(3);
  });

  test("that was confirmed is asked about again after a while, and a later one taken", async () => {
    open();
    await read();
    const first = await run(1);
    store(first);
    states!.confirmed([first.eventKey]);
    const later = { stamp: first.writes[0]!.stamp + 1, executionId: newId(), value: '{"count":7}' };
    stored!.set(textOfKey, later);
    await waitFor(async () => (await read())?.instanceState === later.value);
    // A cleared one, too; and a run that follows is later than that, whatever this machine's clock says.
    const cleared = { stamp: Date.now() * 1000 + 3_600_000_000, executionId: "", value: null };
    stored!.set(textOfKey, cleared);
    await waitFor(async () => (await read()) === null);
    expect((await run(1)).writes[0]!.stamp).toBeGreaterThan(cleared.stamp);
  });

  test("that is known is used while the control plane is away, and one that is not makes the run fail in time", async () => {
    open();
    await read();
    const first = await run(1);
    store(first);
    states!.confirmed([first.eventKey]);
    await waitFor(async () => (await read()) !== null);
    stored = null;
    states!.stop();
    await reopenJournal();
    open("states.db");
    expect(await read()).toEqual({ instanceState: '{"count":1}' });
    open("new.db", 1_000);
    // On a new disk it is not even known which states there are.
    await expect(read()).rejects.toThrow(/could not be asked/);
  });

  test("is found again where the copy is damaged while it is in use", async () => {
    open();
    await read();
    // More than is held in memory.
    const flows = Array.from({ length: 60 }, (_, index) =>
      stateKeysOf({ ...place, flowStableKey: `flow-${index}` }),
    );
    const values = flows.map(() => `{"noise":"${randomBytes(225_000).toString("base64")}"}`);
    for (const [index, flow] of flows.entries()) await run(values[index]!, flow);
    const handle = openSync(join(folder, "states.db"), "r+");
    writeSync(handle, Buffer.alloc(4 * 1024 * 1024, 0xab), 0, 4 * 1024 * 1024, 1024 * 1024);
    closeSync(handle);
    for (const [index, flow] of flows.entries()) {
      const found = await states!.read(flow);
      expect(found?.instanceState === values[index]).toBe(true);
    }
    expect(problems).toEqual(["the copy of the flows' states is damaged and is made anew"]);
  });

  test("of one microsecond is stamped in the order of the runs that wrote it", async () => {
    open();
    await read();
    const stamps = (await Promise.all([run(1), run(2), run(3)])).map(({ writes }) => writes[0]!.stamp);
    expect(stamps).toEqual([...stamps].sort((a, b) => a - b));
    expect(new Set(stamps).size).toBe(3);
  });
});
