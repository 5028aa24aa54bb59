/** When cron expressions are due: five fields, or six with seconds first, in a time zone. */
import { Cron } from "croner";
import { messageOf } from "../shared/errors.ts";

export interface CronSchedule {
  cron: string;
  /** IANA name; "" for UTC. */
  timeZone: string;
}

/** Why it can't be a schedule, or null where it can. */
export function cronProblem({ cron, timeZone }: CronSchedule): string | null {
  if (!isTimeZone(timeZone)) return `"${timeZone.slice(0, shownMax)}" is not the name of a time zone`;
  try {
    cronOf({ cron, timeZone }).stop();
    return null;
  } catch (error) {
    return `"${cron.slice(0, shownMax)}" is not a cron expression (${messageOf(error)})`;
  }
}

/** The first time after `atMs`; null where there is none any more, or the schedule can't be read. */
export function nextRunAfter(schedule: CronSchedule, atMs: number): number | null {
  if (cronProblem(schedule) !== null) return null;
  return cronOf(schedule).nextRun(new Date(atMs))?.getTime() ?? null;
}

const shownMax = 100;

const cronOf = ({ cron, timeZone }: CronSchedule): Cron =>
  new Cron(cron.trim(), { paused: true, mode: "5-or-6-parts", timezone: timeZone || "UTC" });

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name || "UTC" });
    return true;
  } catch {
    return false;
  }
}
