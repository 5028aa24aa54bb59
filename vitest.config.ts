import { defineConfig } from "vitest/config";

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
