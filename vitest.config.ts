import { join } from "node:path";
import { defineConfig } from "vitest/config";

// Hundreds of planes and CLIs are started: a third of a CLI's start is compiling the same modules again.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules", ".switchyard-compile-cache");

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/fixtures/**", "test/bench/**"],
    // Tests boot real planes: processes, threads and databases, so each file has a process of its own.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    reporters: ["default", ["json", { outputFile: "node_modules/.switchyard-test-results.json" }]],
  },
});
