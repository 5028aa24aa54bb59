import { log as described } from "../../../shared/builtIns/log.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, object, text } from "./values.ts";

const writeLog: ActionPerform = ({ logger }, params) => {
  const level = text(params, "level").toLowerCase() || "info";
  if (!levels.has(level))
    throw new Error(`There is no log level ${clip(level)}: take ${[...levels].join(", ")}.`);
  const { message } = params;
  logger[level]!(message);
  return { data: message };
};

const levels = new Set<string>(described.actions.writeLog.inputs.level.choices);

const writeMetric: ActionPerform = ({ logger }, params) => {
  const metrics = object(params, "metrics");
  logger["metric"]!(metrics);
  return { data: metrics };
};

export const log = implement(described, { actions: { writeLog, writeMetric }, triggers: {} });
