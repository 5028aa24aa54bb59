/**
 * A disk that is full, read-only or failing below the journal, and a clock that jumps: under a real data plane with
 * a shim between it and libc. Skipped where no compiler builds the shim.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { executionsSince } from "../crash/records.ts";
import { openSite, type Shot, type Site, siteSettings } from "../crash/site.ts";
import { newLedger } from "../support/ledger.ts";
import { metricNames, readMetrics } from "../support/metrics.ts";
import { bootPlanes } from "../support/planes.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import { waitFor } from "../support/waitFor.ts";
import { buildShim, type FaultSet, type Faults, newFaults } from "./shim.ts";
import { besiege, everyKind, expectRefusals } from "./siege.ts";

const folder = newTemporaryFolder();
const shim = buildShim(folder);
const canMount = process.platform === "linux" && process.getuid?.() === 0 && tryMount();

afterAll(() => removeFolder(folder));

describe.skipIf(shim === null)("with a shim below the journal", () => {
  let site: Site;
  let faults: Faults;

  beforeAll(async () => {
    const dataDir = join(folder, "shimmed");
    faults = newFaults(shim!, folder, join(dataDir, "data-plane", "journal"));
    const planes = await bootPlanes({
      dataDir,
      environment: siteSettings,
      dataEnvironment: faults.environment,
    });
    site = await openSite(planes, newLedger(folder));
  });
  afterAll(() => site?.planes.stop());

  const failures = async () =>
    (await readMetrics(site.planes.data.url))?.value(metricNames.journalFailures) ?? null;

  test.for<[string, FaultSet]>([
    ["a full disk", { write: "ENOSPC" }],
    ["a journal folder that has become read-only", { write: "EROFS", names: "EROFS" }],
    ["syncs that fail with EIO", { sync: "EIO" }],
  ])(
    "%s: 503 with Retry-After, and all is well again when it is over",
    { timeout: 120_000 },
    async ([, fault]) => {
      const failedBefore = await failures();
      const callsBefore = faults.failed();
      await besiege(site, {
        async begin() {
          faults.set(fault);
        },
        async during() {
          await expectRefusals(everyKind(site), "JOURNAL_FULL");
          expect(faults.failed()).toBeGreaterThan(callsBefore);
          if (failedBefore !== null) expect(await failures()).toBeGreaterThan(failedBefore);
        },
        async end() {
          faults.set({});
        },
      });
    },
  );

  test.for([
    ["back", -3600],
    ["forward", 3600],
  ] as const)(
    "a clock that jumps an hour %s: webhooks are taken, run and recorded on",
    { timeout: 120_000 },
    async ([, ahead]) => {
      const beganMs = Date.now();
      const load = await besiege(site, {
        clockBehindMs: 2 * 3_600_000,
        async begin() {
          faults.set({ clockAheadSeconds: ahead });
        },
        async during(load) {
          const before = load.promised.length;
          await waitFor(() => load.promised.length > before + 40, 30_000);
        },
        async end() {
          faults.set({});
        },
      });
      expect(load.refused).toEqual([]);
      const { planes, integrationIds } = site;
      const executions = await executionsSince(planes, integrationIds, beganMs - 2 * 3_600_000);
      const halfAnHourMs = 1_800_000;
      const isJumped = ({ startedAt }: { startedAt: string }) => {
        const jumpedMs = Date.parse(startedAt) - beganMs;
        return ahead < 0 ? jumpedMs < -halfAnHourMs : jumpedMs > halfAnHourMs;
      };
      expect(executions.filter(isJumped).length).toBeGreaterThan(0);
    },
  );
});

describe.skipIf(!canMount)("with the journal on a small disk of its own", () => {
  test("a disk that is really full: 503 with Retry-After, and all is well again when there is room", async () => {
    const dataDir = join(folder, "small");
    const journal = join(dataDir, "data-plane", "journal");
    mkdirSync(journal, { recursive: true, mode: 0o700 });
    expect(mount(journal, 192)).toBe(true);
    onTestFinished(() => unmount(journal));
    const planes = await bootPlanes({ dataDir, environment: siteSettings });
    onTestFinished(() => planes.stop());
    const site = await openSite(planes, newLedger(folder));
    const filling = join(journal, "filling");
    let bulky = 0;
    const bulkyShot = (): Shot => {
      const shot = site.bulky(200_000 + (++bulky % 100));
      return { ...shot, body: { ...shot.body, waitMs: 1_500 } };
    };
    await besiege(site, {
      async begin() {
        fill(filling, journal);
      },
      async during(load) {
        // What the journal had allotted to itself before is used up first.
        await waitFor(() => load.refused.includes("JOURNAL_FULL"), 60_000);
      },
      async end() {
        rmSync(filling, { force: true });
      },
      nextShot: bulkyShot,
    });
  }, 150_000);
});

/** Takes all the room there is. */
function fill(file: string, mounted: string): void {
  for (let megabyte = Buffer.alloc(1024 * 1024, 1); statfsSync(mounted).bavail > 0; ) {
    try {
      writeFileSync(file, megabyte, { flag: "a" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      megabyte = megabyte.subarray(0, 4096);
    }
  }
}

function mount(at: string, megabytes: number): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=700`, "tmpfs", at]).status === 0;
}

function unmount(at: string): void {
  if (spawnSync("umount", [at]).status !== 0) spawnSync("umount", ["-l", at]);
}

function tryMount(): boolean {
  const at = join(folder, "mounted");
  mkdirSync(at);
  const isMounted = mount(at, 1);
  if (isMounted) unmount(at);
  return isMounted;
}
