/**
 * What an audit row tells of an input: texts that name things are kept, large ones become their digest, and
 * everything that is not known to be harmless is left out. Bounded, so that no input can fill the log.
 */
import { isAcceptableKey, isMask, keyLast4, keyPrefix, maskKey, sha256Hex } from "../shared/secrets.ts";

export const leftOut = "[left out]";

const textLengthMax = 1_000;
const entriesMax = 100;
const depthMax = 6;
/** Of input, before, after and errors each: with what is around them a row stays below 64 KB. */
const partBytesMax = 15 * 1024;

/** Fields whose texts are shown. */
const shownFields = new Set(
  [
    "id name description externalId comment customer integration integrationId instance flowConfig flow flowId",
    "parent user role email phone category labels configMode scheduleType timeZone addresses method contentType",
    "dataPlaneId algorithm fingerprints startedAt_Gte startedAt_Lte flowName errorCode perSecond isolation",
  ].flatMap((names) => names.split(" ")),
);
/** Fields that say what was given, by digest and size: too large to keep, or with secrets inside. */
const digestedFields = new Set(
  [
    "definition actions triggers dataSources connections attributes avatarUrl publicKey payload",
    "queryParameters",
  ].flatMap((names) => names.split(" ")),
);
/** Fields whose texts are API keys. */
const keyFields = new Set(["key", "apiKeys"]);
/** Lists of objects: the field of each entry that is a name although it is called `key`. */
const entryLists = new Set(["configVariables", "testConfigVariables", "flowConfigs"]);

/** The input as it is kept. */
export function shownInput(input: unknown): unknown {
  if (typeof input !== "object" || input === null) return leftOut;
  const { clientMutationId: _, ...rest } = input as Record<string, unknown>;
  return boundedPart(shownFieldsOf(rest, false));
}

/** Any part of the detail that has no secrets, cut to its size. */
export function boundedPart(value: unknown): unknown {
  const bounded = cut(value, 0);
  const text = JSON.stringify(bounded) ?? "null";
  const bytes = Buffer.byteLength(text, "utf8");
  return bytes <= partBytesMax ? bounded : { leftOut: "too large", ...digestOf(text) };
}

function shownFieldsOf(fields: Record<string, unknown>, isEntry: boolean): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .slice(0, entriesMax)
      .map(([name, value]) => [name.slice(0, 100), shownField(name, value, isEntry)]),
  );
}

function shownField(name: string, value: unknown, isEntry: boolean): unknown {
  if (value === null || typeof value === "boolean" || typeof value === "number") return value;
  if (value instanceof Date) return value.toISOString();
  if (isEntry && name === "key") return value;
  if (shownFields.has(name)) return value;
  if (keyFields.has(name))
    return Array.isArray(value) ? value.slice(0, entriesMax).map(keyMask) : keyMask(value);
  if (digestedFields.has(name)) return digestOf(typeof value === "string" ? value : JSON.stringify(value));
  if (entryLists.has(name) && Array.isArray(value)) {
    return value.slice(0, entriesMax).map((entry) => entryOf(entry));
  }
  return leftOut;
}

const entryOf = (entry: unknown): unknown =>
  typeof entry === "object" && entry !== null
    ? shownFieldsOf(entry as Record<string, unknown>, true)
    : leftOut;

/** As much of a key as the API shows. A text that is no key might be shown whole by its mask. */
function keyMask(text: unknown): unknown {
  if (typeof text !== "string") return leftOut;
  if (isMask(text)) return text;
  return isAcceptableKey(text) ? maskKey(keyPrefix(text), keyLast4(text)) : leftOut;
}

const digestOf = (text: string): { sha256: string; bytes: number } => ({
  sha256: sha256Hex(text),
  bytes: Buffer.byteLength(text, "utf8"),
});

function cut(value: unknown, depth: number): unknown {
  if (typeof value === "string") {
    return value.length <= textLengthMax
      ? value
      : `${value.slice(0, textLengthMax)}... (${value.length} characters)`;
  }
  if (typeof value !== "object" || value === null) return value;
  if (depth >= depthMax) return leftOut;
  if (Array.isArray(value)) {
    const shown = value.slice(0, entriesMax).map((entry) => cut(entry, depth + 1));
    return value.length <= entriesMax ? shown : [...shown, `... (${value.length} entries)`];
  }
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, entriesMax)
      .map(([name, entry]) => [name, cut(entry, depth + 1)]),
  );
}
