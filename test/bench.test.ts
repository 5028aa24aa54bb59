/** The benchmark itself: a short run with few endpoints, and what it says of it. No time is looked at. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { barChart } from "./bench/chart.ts";
import { refuseMemory } from "./bench/disk.ts";
import { parseMetrics } from "./bench/metrics.ts";
import { readOptions } from "./bench/options.ts";
import { inventoryUpdate } from "./bench/requests.ts";
import { percentileOf, slopeOf, spreadOf } from "./bench/statistics.ts";
import { temporaryFolder } from "./support/temporaryFolder.ts";

const main = join(import.meta.dirname, "bench", "main.ts");
const benchFolder = join(import.meta.dirname, "..", "node_modules", ".switchyard-bench-test");

describe("npm run bench", () => {
  test("measures in turn, counts what it sent, and writes table, JSON and chart", async () => {
    const out = temporaryFolder();
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        main,
        ...[
          "--quick",
          "--seconds",
          "1",
          "--rounds",
          "1",
          "--connections",
          "8",
          "--count",
          "200",
          "--drain-seconds",
          "45",
        ],
        ...["--only", "raw,accept,acceptAndRun", "--data", benchFolder, "--out", out],
      ],
      { timeout: 110_000, killSignal: "SIGKILL", maxBuffer: 8 * 1024 * 1024 },
    );
    const results = JSON.parse(readFileSync(join(out, "latest.json"), "utf8"));
    expect(results.rows.map((row: { contender: string }) => row.contender)).toEqual([
      "raw",
      "accept",
      "acceptAndRun",
    ]);
    for (const row of results.rows) {
      expect(row).toMatchObject({ connections: 8, bad: 0 });
      expect(row.perSecond.least).toBeGreaterThan(0);
      expect(row.p50Us.median).toBeLessThanOrEqual(row.p99Us.median);
      expect(row.p99Us.median).toBeLessThanOrEqual(row.p999Us.median);
      expect(row.rssBytes.median).toBeGreaterThan(0);
    }
    const [raw, accept, acceptAndRun] = results.rows;
    expect(raw.ratio).toBe(1);
    expect(raw.switchyard).toBeNull();
    for (const { switchyard } of [accept, acceptAndRun]) {
      expect(switchyard.count).toMatchObject({ holds: true });
      expect(switchyard.count.answered).toBeGreaterThan(0);
    }
    expect(acceptAndRun.switchyard.wholeRunsPerSecond).toBeGreaterThan(0);
    expect(results.disk.overwriteP50Us).toBeGreaterThan(0);
    const counted = results.marks.find((mark: { text: string }) => mark.text.startsWith("200s"));
    expect(counted).toMatchObject({ figure: "2 of 2", holds: "yes" });
    expect(stdout).toContain("raw uWebSockets.js");
    expect(stdout).toContain("accept, runs held back");
    expect(stdout).toMatch(/at least 0\.30 of raw .*(yes|no|not measured)/);
    const chart = readFileSync(join(out, "contenders.svg"), "utf8");
    expect(chart.startsWith("<svg ") && chart.trimEnd().endsWith("</svg>")).toBe(true);
    expect(chart).toContain("accept, runs beside it");
  }, 120_000);

  test("refuses a folder that is in memory", () => {
    expect(() => refuseMemory("/dev/shm")).toThrow(/memory/);
    expect(refuseMemory(import.meta.dirname)).not.toBe("unknown");
  });

  test("refuses what it does not know on its command line", () => {
    expect(() => readOptions(["--nope"])).toThrow();
    expect(() => readOptions(["--rounds", "0"])).toThrow(/whole number/);
    expect(() => readOptions(["--only", "nginx"])).toThrow(/nginx/);
    expect(readOptions([])).toMatchObject({ rounds: 3, connections: [1, 16, 64, 256], endpoints: 100_000 });
    expect(readOptions(["--quick"])).toMatchObject({ rounds: 1, connections: [64] });
    expect([...readOptions(["--feed"])!.parts]).toEqual(["feed"]);
  });

  test("sends the inventory update in about the size that is asked for", () => {
    for (const bytes of [600, 16 * 1024, 1024 * 1024]) {
      const body = inventoryUpdate(bytes);
      expect(JSON.parse(body)).toMatchObject({ type: "inventory_update" });
      expect(Math.abs(body.length - bytes)).toBeLessThan(110);
    }
  });

  test("reads metrics as sums over their labels", () => {
    const text = '# HELP a b\na_total{code="200"} 3\na_total{code="503"} 1.5\nb_bytes 7 1700000000000\n';
    expect(parseMetrics(text)).toEqual(
      new Map([
        ["a_total", 4.5],
        ["b_bytes", 7],
      ]),
    );
  });

  test("draws no bar for nothing, and text as text", () => {
    const bar = { value: 0, least: 0, most: 0, note: "", isOurs: true };
    expect(barChart("<none>", [{ label: "a&b", ...bar }])).toContain("a&amp;b");
    expect(barChart("<none>", [])).toContain("&lt;none&gt;");
  });

  test("sums up as statistics do", () => {
    const values = Array.from({ length: 100 }, (_, index) => index + 1);
    expect([percentileOf(values, 50), percentileOf(values, 99), percentileOf([], 50)]).toEqual([50, 99, 0]);
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
    expect(slopeOf([0, 1, 2, 3].map((x) => ({ x, y: 5 + 2 * x })))).toBeCloseTo(2);
  });
});
