/** The types of config variables that are not connections: what a value may be, and what flow code is given. */
import { DateTime } from "luxon";
import { cronProblem, type ScheduleValue, timeZoneProblem } from "../../shared/configSchedule.ts";
import { type RequiredConfigVar, scheduleTypes } from "../../shared/requiredConfigVars.ts";

/** A value as it was given. */
export interface GivenValue {
  value: string | null;
  /** Only for schedules. */
  scheduleType: string | null;
  timeZone: string | null;
}

const valueBytesMax = 256 * 1024;
const listItemsMax = 10_000;

/** Why a text can't be the variable's value, as the end of a sentence, or null where it can. */
export function configVariableProblem(variable: RequiredConfigVar, text: string): string | null {
  if (Buffer.byteLength(text) > valueBytesMax) return `is larger than ${valueBytesMax} bytes`;
  if (variable.collectionType === null) return scalarProblem(variable, text);
  const parsed = parseJson(text);
  if (variable.collectionType === "keyvaluelist") {
    const pairs = keyValueList(parsed);
    if (pairs === null) return "must be a JSON list of {key, value}, or a JSON object";
    return itemsProblem(
      variable,
      pairs.map(({ key, value }) => [`the value of "${key}"`, value]),
    );
  }
  if (!Array.isArray(parsed)) return "must be a JSON list";
  return itemsProblem(
    variable,
    parsed.map((value, index) => [`entry ${index + 1}`, value]),
  );
}

/** The same for what a schedule has beside its expression. */
export function scheduleProblem({ scheduleType, timeZone }: GivenValue): string | null {
  const types: readonly string[] = scheduleTypes;
  if (scheduleType !== null && !types.includes(scheduleType)) {
    return `has the schedule type "${scheduleType.slice(0, 100)}", but it must be one of ${scheduleTypes.join(", ")}`;
  }
  return timeZone === null ? null : timeZoneProblem(timeZone);
}

/** The value in the type that spectral names for it; undefined where there is none. */
export function typedValue(variable: RequiredConfigVar, given: GivenValue | undefined): unknown {
  const text = given?.value ?? usableDefault(variable);
  if (variable.dataType === "schedule") return scheduleValue(variable, text, given);
  if (text === null) return undefined;
  if (variable.collectionType === "keyvaluelist") {
    return (keyValueList(parseJson(text)) ?? []).map(({ key, value }) => ({
      key,
      value: scalarValue(variable, value),
    }));
  }
  if (variable.collectionType !== null) {
    const list = parseJson(text);
    return Array.isArray(list) ? list.map((value) => scalarValue(variable, value)) : [];
  }
  return scalarValue(variable, text);
}

/** An empty default says that there is none, but for texts, which may be empty. */
export function usableDefault({ dataType, collectionType, defaultValue }: RequiredConfigVar): string | null {
  const isText = collectionType === null && (dataType === "string" || dataType === "code");
  return defaultValue === "" && !isText ? null : defaultValue;
}

function itemsProblem(
  variable: RequiredConfigVar,
  items: readonly (readonly [place: string, value: unknown])[],
): string | null {
  if (items.length > listItemsMax) return `has more than ${listItemsMax} entries`;
  for (const [place, value] of items) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const problem = scalarProblem(variable, text);
    if (problem !== null) return `is not valid: ${place} ${problem}`;
  }
  return null;
}

function scalarProblem({ dataType, pickList }: RequiredConfigVar, text: string): string | null {
  switch (dataType) {
    case "boolean":
      return toBoolean(text) === null ? 'must be "true" or "false"' : null;
    case "number":
      return text.trim() === "" || !Number.isFinite(Number(text)) ? "must be a number" : null;
    case "picklist":
      return pickList === null || pickList.length === 0 || pickList.includes(text)
        ? null
        : `must be one of ${pickList.map((choice) => `"${choice}"`).join(", ")}`;
    case "date":
      return DateTime.fromISO(text).isValid ? null : "must be a date such as 2026-01-31";
    case "timestamp":
      return DateTime.fromISO(text).isValid ? null : "must be a time such as 2026-01-31T08:30:00Z";
    case "schedule":
      return text.trim() === "" ? null : cronProblem(text);
    case "jsonForm":
      return parseJson(text) === undefined ? "must be JSON" : null;
    case "objectSelection":
      return isObjectSelection(parseJson(text)) ? null : "must be a JSON list of {object, fields}";
    case "objectFieldMap":
      return isObjectFieldMap(parseJson(text)) ? null : "must be a JSON object with a list of fields";
    default:
      return null;
  }
}

function scheduleValue(
  variable: RequiredConfigVar,
  text: string | null,
  given: GivenValue | undefined,
): ScheduleValue {
  const value = text ?? "";
  const usual = value === "" ? "none" : "custom";
  // The definition's type is that of its own default: an expression that was given is one.
  const type = given?.scheduleType ?? (given?.value ? null : variable.scheduleType) ?? usual;
  return {
    value,
    schedule_type: type,
    time_zone: given?.timeZone ?? variable.timeZone ?? "",
  };
}

function scalarValue({ dataType }: RequiredConfigVar, value: unknown): unknown {
  switch (dataType) {
    case "boolean":
      return typeof value === "boolean" ? value : (toBoolean(String(value)) ?? false);
    case "number":
      return Number(value);
    case "jsonForm":
      return formData(typeof value === "string" ? (parseJson(value) ?? value) : value);
    case "objectSelection":
    case "objectFieldMap":
      return typeof value === "string" ? (parseJson(value) ?? value) : value;
    default:
      return typeof value === "string" ? value : isObject(value) ? value : String(value);
  }
}

/** What was entered: a form that comes whole, as a default or a data source gives it, has it under `data`. */
const formData = (value: unknown): unknown =>
  isObject(value) && "schema" in value && "uiSchema" in value ? (value["data"] ?? {}) : value;

const isElement = (value: unknown): boolean => isObject(value) && typeof value["key"] === "string";

const isObjectSelection = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every(
    (item: unknown) =>
      isObject(item) &&
      isElement(item["object"]) &&
      (item["fields"] == null || (Array.isArray(item["fields"]) && item["fields"].every(isElement))),
  );

const isObjectFieldMap = (value: unknown): boolean =>
  isObject(value) &&
  Array.isArray(value["fields"]) &&
  value["fields"].every((item: unknown) => isObject(item) && isElement(item["field"]));

function keyValueList(parsed: unknown): { key: string; value: unknown }[] | null {
  if (Array.isArray(parsed)) {
    return parsed.every((item) => isObject(item) && typeof item["key"] === "string" && "value" in item)
      ? (parsed as { key: string; value: unknown }[])
      : null;
  }
  return isObject(parsed) ? Object.entries(parsed).map(([key, value]) => ({ key, value })) : null;
}

function toBoolean(text: string): boolean | null {
  const lower = text.trim().toLowerCase();
  return lower === "true" ? true : lower === "false" ? false : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
