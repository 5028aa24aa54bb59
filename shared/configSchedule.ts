/** When a schedule that stands in a config variable runs. */
import { Cron } from "croner";
import { IANAZone } from "luxon";
import { messageOf } from "./errors.ts";

/** The value as flow code sees it: spectral's `Schedule`. */
export interface ScheduleValue {
  value: string;
  schedule_type: string;
  time_zone: string;
}

export type ConfigSchedule =
  | { kind: "never" }
  /** As soon as possible after the deploy, and never again. */
  | { kind: "once" }
  /** `timeZone`: an IANA name, or "" where the variable names none. */
  | { kind: "cron"; cron: string; timeZone: string };

/** What a type means where it comes without an expression of its own. */
const cronOfType: Record<string, string> = {
  minute: "* * * * *",
  hour: "0 * * * *",
  day: "0 0 * * *",
  week: "0 0 * * 0",
};

/** Reads the value of a config variable of type schedule; what is none never runs. */
export function scheduleOfConfigVar(value: unknown): ConfigSchedule {
  const given = (typeof value === "object" && value !== null ? value : {}) as Partial<ScheduleValue>;
  const cron = typeof given.value === "string" ? given.value.trim() : "";
  const type = given.schedule_type || (cron === "" ? "none" : "custom");
  if (type === "none") return { kind: "never" };
  if (type === "once") return { kind: "once" };
  const expression = cron || cronOfType[type];
  if (expression === undefined) return { kind: "never" };
  return { kind: "cron", cron: expression, timeZone: given.time_zone ?? "" };
}

/** Why this is no cron expression, as the end of a sentence, or null where it is one. */
export function cronProblem(cron: string): string | null {
  try {
    new Cron(cron, { paused: true });
    return null;
  } catch (error) {
    return `must be a cron expression such as "*/15 * * * *": ${messageOf(error)}`;
  }
}

/** Why this is no time zone, as the end of a sentence, or null where it is one. */
export const timeZoneProblem = (timeZone: string): string | null =>
  timeZone === "" || IANAZone.isValidZone(timeZone)
    ? null
    : `has the time zone "${timeZone.slice(0, 100)}", which is none: use a name such as Europe/Berlin`;
