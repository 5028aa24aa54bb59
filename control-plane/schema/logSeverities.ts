/** The severities that a flow's log lines can have. */
import type { LogSeverity } from "../../shared/reports.ts";
import { builder } from "./builder.ts";

/** From the least to the most severe; metrics stand apart. */
export const logSeverities: readonly LogSeverity[] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "METRIC"];

const LogSeverityLevel = builder.objectRef<LogSeverity>("LogSeverityLevel").implement({
  description: "How severe a log line is.",
  fields: (t) => ({
    id: t.int({ description: "Its place in the order.", resolve: (name) => logSeverities.indexOf(name) + 1 }),
    name: t.string({ description: "Its name.", resolve: (name) => name }),
  }),
});

builder.queryField("logSeverityLevels", (t) =>
  t.field({
    type: [LogSeverityLevel],
    description: "The severities that log lines can have, the least severe first.",
    authScopes: { signedIn: true },
    resolve: () => [...logSeverities],
  }),
);
