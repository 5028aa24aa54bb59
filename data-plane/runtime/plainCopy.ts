/**
 * A plain copy of whatever flow code made: for a log line, or for an answer (recordEncoder.ts has the record). It may be
 * cyclic, hold functions, sockets or half a gigabyte, and their getters may throw; none of that may take the
 * run or its thread down, so every node is charged against a budget before it is copied.
 */
import type { Redactor } from "./redaction.ts";
import { isHiddenName, redactedMark } from "./redaction.ts";

export interface CopyOptions {
  /**
   * `log`: everything is shown somehow, what does not fit is cut. `answer`: as JSON would have it, too large
   * throws.
   */
  purpose: "log" | "answer";
  bytesMax: number;
  depthMax: number;
  redactor: Redactor | null;
}

export class TooLargeError extends Error {
  override name = "TooLargeError";
}

export function plainCopy(value: unknown, options: CopyOptions): unknown {
  return copy(value, 0, { options, bytesLeft: options.bytesMax, ancestors: new Set() });
}

interface State {
  options: CopyOptions;
  bytesLeft: number;
  ancestors: Set<object>;
}

const cutMark = "…";
export const unreadableMark = "[cannot be read]";
export const circularMark = "[circular]";
export const deepMark = "[nested too deep]";
/** What a key or a node costs beside its text. */
const nodeBytes = 2;

function copy(value: unknown, depth: number, state: State): unknown {
  switch (typeof value) {
    case "string":
      return copyText(value, state);
    case "number":
      charge(state, 8);
      return state.options.purpose === "answer" && !Number.isFinite(value) ? null : value;
    case "boolean":
      charge(state, 1);
      return value;
    case "undefined":
      charge(state, 1);
      return undefined;
    case "bigint":
      return copyText(String(value), state);
    case "symbol":
    case "function":
      charge(state, nodeBytes);
      return state.options.purpose === "answer" ? undefined : nameOfCode(value);
    default:
      if (value !== null) return copyObject(value as object, depth, state);
      charge(state, 1);
      return null;
  }
}

function copyObject(value: object, depth: number, state: State): unknown {
  if (!charge(state, nodeBytes)) return cutMark;
  if (state.ancestors.has(value)) return circularMark;
  if (depth > state.options.depthMax) return deepMark;
  state.ancestors.add(value);
  try {
    return copyMembers(value, depth, state);
  } catch (error) {
    if (error instanceof TooLargeError) throw error;
    return unreadableMark;
  } finally {
    state.ancestors.delete(value);
  }
}

function copyMembers(value: object, depth: number, state: State): unknown {
  if (Array.isArray(value)) return copyList(value, value.length, depth, state);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return copyBytes(value, depth, state);
  const special = copySpecial(value, depth, state);
  if (special !== notSpecial) return special;
  const copied: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    if (state.options.purpose === "log" && isHiddenName(key)) {
      setOwn(copied, key, redactedMark, state);
      continue;
    }
    if (!charge(state, nodeBytes + key.length)) {
      copied[cutMark] = cutMark;
      break;
    }
    const member = copy(readMember(value, key), depth + 1, state);
    if (member !== undefined) setOwn(copied, key, member, state);
  }
  return copied;
}

const notSpecial = Symbol("not special");

function copySpecial(value: object, depth: number, state: State): unknown {
  const { purpose } = state.options;
  const inner = (next: unknown) => copy(next, depth + 1, state);
  if (value instanceof Date && purpose !== "answer") {
    if (Number.isNaN(value.getTime())) return null;
    return value.toISOString();
  }
  if (value instanceof Error && purpose === "log") return inner(String(value.stack ?? value.message));
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") {
    const json: unknown = (value as { toJSON(): unknown }).toJSON();
    return json === value ? notSpecial : inner(json);
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return inner(value.valueOf());
  if (purpose === "answer") return notSpecial;
  if (value instanceof Map) return copyList(value.entries(), value.size, depth, state);
  if (value instanceof Set) return copyList(value.values(), value.size, depth, state);
  if (value instanceof RegExp) return inner(String(value));
  if (value instanceof Promise) return "[promise]";
  return notSpecial;
}

function copyList(items: Iterable<unknown>, length: number, depth: number, state: State): unknown {
  // A sparse array of four billion is charged before it is walked.
  if (state.options.purpose !== "log" && length > state.bytesLeft) throw new TooLargeError();
  const copied: unknown[] = [];
  for (const item of items) {
    if (state.bytesLeft <= 0 && !charge(state, 1)) {
      copied.push(cutMark);
      break;
    }
    copied.push(copy(item, depth + 1, state) ?? null);
  }
  return copied;
}

function copyBytes(value: ArrayBufferView | ArrayBuffer, depth: number, state: State): unknown {
  const bytes =
    value instanceof ArrayBuffer
      ? new Uint8Array(value)
      : new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
  switch (state.options.purpose) {
    case "log":
      charge(state, 24);
      return `<${bytes.length} bytes>`;
    case "answer":
      // The whole answer may be binary; inside of JSON bytes stand as JSON.stringify writes a Buffer.
      charge(state, depth === 0 ? bytes.length : bytes.length * 4);
      return depth === 0 ? bytes.slice() : { type: "Buffer", data: [...bytes] };
  }
}

function copyText(text: string, state: State): string {
  const { purpose, redactor } = state.options;
  if (purpose === "log" && text.length > state.bytesLeft) {
    // Redacted whole before it is cut: half a secret is a secret. Far too long texts are cut first.
    const left = Math.max(0, state.bytesLeft);
    state.bytesLeft = 0;
    const head = text.slice(0, left + 4096);
    return (redactor?.text(head) ?? head).slice(0, left) + cutMark;
  }
  charge(state, text.length);
  const shown = redactor?.text(text) ?? text;
  return purpose === "answer" ? shown : shown.toWellFormed();
}

/** False where nothing is left, for a log line; throws for the others. */
function charge(state: State, bytes: number): boolean {
  state.bytesLeft -= bytes;
  if (state.bytesLeft >= 0) return true;
  if (state.options.purpose === "log") return false;
  throw new TooLargeError();
}

function readMember(value: object, key: string): unknown {
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return unreadableMark;
  }
}

function setOwn(to: Record<string, unknown>, key: string, value: unknown, state: State): void {
  if (key !== "__proto__") to[key] = value;
  else if (state.options.purpose === "log") to["[__proto__]"] = value;
  else Object.defineProperty(to, key, { value, enumerable: true, configurable: true, writable: true });
}

export function nameOfCode(value: symbol | ((...args: never[]) => unknown) | object): string {
  try {
    return typeof value === "symbol"
      ? `[${String(value)}]`
      : `[function ${(value as { name: string }).name}]`;
  } catch {
    return "[function]";
  }
}
