import { describeBuiltIn } from "./description.ts";

export const log = describeBuiltIn({
  key: "log",
  label: "Log",
  description: "Writes to the log of the run.",
  category: "Helpers",
  actions: {
    writeLog: {
      label: "Write Log Message",
      description: "Writes a line.",
      inputs: {
        level: {
          label: "Log Level",
          type: "string",
          required: true,
          default: "info",
          choices: ["trace", "debug", "info", "warn", "error"],
        },
        message: { label: "Log Message", type: "text", required: true },
      },
    },
    writeMetric: {
      label: "Write Metrics",
      description: "Writes named numbers as a line of severity METRIC.",
      inputs: { metrics: { label: "Metrics", type: "string", collection: "keyvaluelist", required: true } },
    },
  },
  triggers: {},
});
