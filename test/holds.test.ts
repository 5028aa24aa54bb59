import { expect, test } from "vitest";
import { createHolds } from "../data-plane/holds.ts";
import { newId } from "../shared/ids.ts";
import { waitFor } from "./support/waitFor.ts";

const newCode = () => ({ integrationId: newId(), versionId: newId(), definitionDigest: "digest" });

function newHolds(change: Partial<Parameters<typeof createHolds>[0]["config"]> = {}) {
  const resumed: string[] = [];
  const holds = createHolds<string>({
    config: {
      threadDeathsMax: 3,
      threadDeathsWindowMs: 60_000,
      holdBackMs: 20,
      heldRunsMax: 3,
      runBlockedTimeoutMs: 20,
      ...change,
    },
    resume: (items) => resumed.push(...items),
    onNotice() {},
  });
  return { holds, resumed };
}

test("a version is held back at its third death, and no other is", () => {
  const { holds } = newHolds({ holdBackMs: 60_000 });
  const [bad, good] = [newCode(), newCode()];
  for (let deaths = 1; deaths <= 3; deaths++) {
    expect(holds.check(bad)).toBeNull();
    holds.charge(bad, `death ${deaths}`);
  }
  expect(holds.check(bad)?.reason).toContain("took 3 threads down. death 3");
  expect(holds.check(good)).toBeNull();
  expect(holds.check({ ...bad, definitionDigest: "of a draft that was imported again" })).toBeNull();
  holds.stop();
});

test("after its time one is tried; where it goes well the others follow, in their order", async () => {
  const { holds, resumed } = newHolds();
  const code = newCode();
  for (let deaths = 0; deaths < 3; deaths++) holds.charge(code, "");
  for (const item of ["first", "second", "third"]) expect(holds.park(code, item)).toBe(true);
  expect(holds.park(code, "one too many")).toBe(false);
  await waitFor(() => resumed.length > 0);
  expect(resumed).toEqual(["first"]);
  expect(holds.check(code)).toBeNull();
  expect(holds.check(code)).not.toBeNull();
  await waitFor(() => resumed.length === 3);
  expect(resumed).toEqual(["first", "second", "third"]);
  expect([holds.check(code), holds.isHolding(), holds.held(), holds.waiting()]).toEqual([null, false, [], 0]);
  holds.charge(code, "again");
  expect(holds.check(code)).not.toBeNull();
  holds.stop();
});

test("where the one that is tried kills, the version is held back for twice as long", async () => {
  const { holds, resumed } = newHolds({ holdBackMs: 200 });
  const code = newCode();
  const lastsMs = () => {
    const [version] = holds.held();
    return version!.untilMs - version!.sinceMs;
  };
  for (let deaths = 0; deaths < 3; deaths++) holds.charge(code, "");
  expect(lastsMs()).toBe(200);
  for (const item of ["killer", "innocent"]) holds.park(code, item);
  await waitFor(() => resumed.length === 1);
  expect(holds.check(code)).toBeNull();
  holds.charge(code, "killed again");
  expect(holds.check(code)?.reason).toContain("killed again");
  expect(lastsMs()).toBeGreaterThanOrEqual(600);
  expect(resumed).toEqual(["killer"]);
  holds.release(code.versionId);
  expect(resumed).toEqual(["killer", "innocent"]);
  expect(holds.check(code)).toBeNull();
  holds.stop();
});

test("with a limit of 0 nothing is held back", () => {
  const { holds } = newHolds({ threadDeathsMax: 0 });
  const code = newCode();
  for (let deaths = 0; deaths < 100; deaths++) holds.charge(code, "");
  expect(holds.check(code)).toBeNull();
});
