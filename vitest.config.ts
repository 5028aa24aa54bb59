import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Hundreds of planes and CLIs are started: a third of a CLI's start is compiling the same modules again.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules", ".switchyard-compile-cache");

/** These begin first, or the last of them would run alone at the end. */
const longest = [
  "crash",
  "prism/prism",
  "faults",
  "backPressure",
  "faults/disk",
  "faults/replica",
  "prism/access",
  "bench",
  "masterKey",
  "schedules",
  "room",
  "access",
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return found < 0 ? longest.length : found;
    };
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/fixtures/**", "test/bench/**"],
    // Tests boot real planes: processes, threads and databases, so each file has a process of its own.
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    reporters: ["default", ["json", { outputFile: "node_modules/.switchyard-test-results.json" }]],
  },
});
