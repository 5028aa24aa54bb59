import { DateTime } from "luxon";
import { datetime as described } from "../../../shared/builtIns/datetime.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { clip, flag, isGiven, optionalNumber, requiredNumber, text, textOf } from "./values.ts";

type Params = Record<string, unknown>;

/** ISO, what HTTP and mail headers have, SQL, and milliseconds; without a zone of its own it is UTC. */
function timeOf(params: Params): DateTime {
  const { dateTime: given } = params;
  if (!isGiven(given)) throw new Error('The input "dateTime" is empty.');
  const zone = { zone: "UTC" };
  if (given instanceof Date) return checked(DateTime.fromJSDate(given, zone), given);
  const said = textOf(given).trim();
  if (/^-?\d{5,16}$/.test(said)) return checked(DateTime.fromMillis(Number(said), zone), given);
  for (const read of [DateTime.fromISO, DateTime.fromRFC2822, DateTime.fromHTTP, DateTime.fromSQL]) {
    const time = read(said, zone);
    if (time.isValid) return time;
  }
  return checked(DateTime.invalid("unparsable"), given);
}

function checked(time: DateTime, given: unknown): DateTime {
  if (time.isValid) return time;
  throw new Error(`The input "dateTime" is not a time: ${clip(given)}.`);
}

function inZone(time: DateTime, params: Params): DateTime {
  const zone = text(params, "timezone") || "UTC";
  // "etc/UTC" is what exported integrations have.
  const moved = time.setZone(/^etc\/utc$/i.test(zone) ? "UTC" : zone);
  if (!moved.isValid) throw new Error(`There is no time zone ${clip(zone)}.`);
  return moved;
}

const isoOf = (time: DateTime): string => time.toUTC().toISO()!;

/** The tokens that the format has, as luxon knows them. Longer ones come first. */
const tokens: Record<string, string> = {
  YYYY: "yyyy",
  YY: "yy",
  DD: "dd",
  D: "d",
  dddd: "cccc",
  ddd: "ccc",
  A: "a",
  a: "a",
  ZZ: "ZZZ",
  Z: "ZZ",
  X: "X",
  x: "x",
};
const sameTokens = ["MMMM", "MMM", "MM", "M", "HH", "H", "hh", "h", "mm", "m", "ss", "s", "SSS"];
const tokenPattern = new RegExp(
  `\\[([^\\]]*)\\]|(${[...Object.keys(tokens), ...sameTokens].sort((a, b) => b.length - a.length).join("|")})`,
  "g",
);

/** Everything that is no token stays as it is. */
function formatted(time: DateTime, format: string): string {
  let at = 0;
  let shown = "";
  for (const match of format.matchAll(tokenPattern)) {
    const [whole, literal, token] = match;
    shown += format.slice(at, match.index);
    shown += token === undefined ? literal : time.toFormat(tokens[token] ?? token, { locale: "en-US" });
    at = match.index + whole.length;
  }
  return shown + format.slice(at);
}

const adjust: ActionPerform = (_context, params) => {
  const units = ["seconds", "minutes", "hours", "days"] as const;
  const amounts = Object.fromEntries(units.map((unit) => [unit, optionalNumber(params, unit) ?? 0]));
  return { data: isoOf(checked(timeOf(params).plus(amounts), params["dateTime"])) };
};

const convertFromEpoch: ActionPerform = (_context, params) => {
  const given = requiredNumber(params, "epochTimestamp");
  const ms = flag(params, "epochTimestampInSeconds") ? given * 1000 : given;
  return { data: isoOf(checked(DateTime.fromMillis(ms, { zone: "UTC" }), given)) };
};

const epochOf = (ms: number, params: Params): number =>
  flag(params, "displayEpochInSeconds") ? Math.floor(ms / 1000) : ms;

export const datetime = implement(described, {
  actions: {
    getCurrentDateTime: (_context, params) => ({
      data: flag(params, "displayEpochInSeconds") ? epochOf(Date.now(), params) : new Date().toISOString(),
    }),
    adjustDateTime: adjust,
    formatDateTime: (_context, params) => ({
      data: formatted(inZone(timeOf(params), params), text(params, "format")),
    }),
    convertToIsoString: (_context, params) => ({ data: isoOf(timeOf(params)) }),
    convertToLocalIsoString: (_context, params) => ({ data: inZone(timeOf(params), params).toISO() }),
    convertToEpoch: (_context, params) => ({ data: epochOf(timeOf(params).toMillis(), params) }),
    convertFromEpoch,
  },
  triggers: {},
});
