/**
 * Step results for the record: MessagePack of whatever flow code made, in one pass. Results may be cyclic, hold
 * functions, sockets or half a gigabyte, and their getters may throw; none of that may take the run or its thread
 * down, so every node is charged against a budget before it is written. (A plain copy first and a library's encoder
 * after it took three times as long, a quarter of a no-op run.)
 */
import { Encoder } from "@msgpack/msgpack";
import { circularMark, deepMark, nameOfCode, TooLargeError, unreadableMark } from "./plainCopy.ts";
import { isHiddenName, type Redactor, redactedMark } from "./redaction.ts";

export interface RecordOptions {
  bytesMax: number;
  depthMax: number;
  /** Takes secrets out by value; null leaves them in. By name they are always left out. */
  redactor: Redactor | null;
}

/** In memory that the next call writes over. Throws `TooLargeError`. */
export function encodeRecord(data: unknown, contentType: string, options: RecordOptions): Buffer {
  at = 0;
  bytesLeft = options.bytesMax;
  given = options;
  ancestors.length = 0;
  ensure(16);
  buffer[at++] = 0x82;
  writeText("data");
  if (!writeValue(data, 0)) writeNull();
  writeText("contentType");
  writeText(contentType);
  return buffer.subarray(0, at);
}

const bufferBytesMin = 16 * 1024;
/** What a key or a node costs beside its text. */
const nodeBytes = 2;

let buffer = Buffer.allocUnsafeSlow(bufferBytesMin);
let at = 0;
let bytesLeft = 0;
let given: RecordOptions = { bytesMax: 0, depthMax: 0, redactor: null };
/** A list: results are seldom deep, and a Set makes garbage of its own. */
const ancestors: object[] = [];
/** For dates: few, and its format of them is odd. */
const library = new Encoder();

function ensure(bytes: number): void {
  if (at + bytes <= buffer.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, at + bytes));
  larger.set(buffer.subarray(0, at));
  buffer = larger;
}

function charge(bytes: number): void {
  bytesLeft -= bytes;
  if (bytesLeft < 0) throw new TooLargeError();
}

/** False where there is nothing to write: a member that is undefined. */
function writeValue(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
      writeShown(value);
      return true;
    case "number":
      charge(8);
      writeNumber(value);
      return true;
    case "boolean":
      charge(1);
      ensure(1);
      buffer[at++] = value ? 0xc3 : 0xc2;
      return true;
    case "undefined":
      charge(1);
      return false;
    case "bigint":
      writeShown(String(value));
      return true;
    case "symbol":
    case "function":
      charge(nodeBytes);
      writeText(nameOfCode(value));
      return true;
    default:
      if (value !== null) return writeObject(value as object, depth);
      charge(1);
      writeNull();
      return true;
  }
}

function writeObject(value: object, depth: number): boolean {
  charge(nodeBytes);
  if (ancestors.includes(value)) {
    writeText(circularMark);
    return true;
  }
  if (depth > given.depthMax) {
    writeText(deepMark);
    return true;
  }
  ancestors.push(value);
  const start = at;
  try {
    return writeMembers(value, depth);
  } catch (error) {
    if (error instanceof TooLargeError) throw error;
    at = start;
    writeText(unreadableMark);
    return true;
  } finally {
    ancestors.pop();
  }
}

function writeMembers(value: object, depth: number): boolean {
  if (Array.isArray(value)) return writeList(value, value.length, depth);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return writeBytes(value);
  const special = isPlain(value) ? notSpecial : writeSpecial(value, depth);
  if (special !== notSpecial) return special === written;
  const keys = Object.keys(value);
  const head = beginMany(keys.length, 0x80, 0xde);
  let count = 0;
  for (const key of keys) {
    const start = at;
    const isHidden = isHiddenName(key);
    if (!isHidden) charge(nodeBytes + key.length);
    // Decoders refuse this key, so the record shows it in brackets.
    writeText(key === "__proto__" ? "[__proto__]" : key);
    if (isHidden) writeText(redactedMark);
    else if (!writeValue(readMember(value, key), depth + 1)) {
      at = start;
      continue;
    }
    count++;
  }
  endMany(head, keys.length, count, 0x80);
  return true;
}

const notSpecial = 0;
const written = 1;
const leftOut = 2;

/** An object literal or parsed JSON without a `toJSON`: most are. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return (
    (prototype === Object.prototype || prototype === null) &&
    typeof (value as { toJSON?: unknown }).toJSON !== "function"
  );
}

function writeSpecial(value: object, depth: number): typeof notSpecial | typeof written | typeof leftOut {
  const inner = (next: unknown) => (writeValue(next, depth + 1) ? written : leftOut);
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) writeNull();
    else writeRaw(library.encodeSharedRef(new Date(value)));
    return written;
  }
  if (value instanceof Error)
    return inner(Object.assign({ name: value.name, message: value.message }, value));
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") {
    const json: unknown = (value as { toJSON(): unknown }).toJSON();
    return json === value ? notSpecial : inner(json);
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return inner(value.valueOf());
  if (value instanceof Map) {
    writeList(value.entries(), value.size, depth);
    return written;
  }
  if (value instanceof Set) {
    writeList(value.values(), value.size, depth);
    return written;
  }
  if (value instanceof RegExp) return inner(String(value));
  if (value instanceof Promise) {
    writeText("[promise]");
    return written;
  }
  return notSpecial;
}

function writeList(items: Iterable<unknown>, length: number, depth: number): boolean {
  // A sparse array of four billion is charged before it is walked.
  if (length > bytesLeft) throw new TooLargeError();
  const head = beginMany(length, 0x90, 0xdc);
  let count = 0;
  for (const item of items) {
    // It may grow while its members are read.
    if (count === length) break;
    count++;
    if (!writeValue(item, depth + 1)) writeNull();
  }
  endMany(head, length, count, 0x90);
  return true;
}

/** Leaves room for a count of at most `most`, and returns where. */
function beginMany(most: number, fix: number, code16: number): number {
  ensure(5);
  const head = at;
  if (most < 16) buffer[at] = fix;
  else buffer[at] = most < 0x10000 ? code16 : code16 + 1;
  at += most < 16 ? 1 : most < 0x10000 ? 3 : 5;
  return head;
}

function endMany(head: number, most: number, count: number, fix: number): void {
  if (most < 16) buffer[head] = fix | count;
  else if (most < 0x10000) buffer.writeUInt16BE(count, head + 1);
  else buffer.writeUInt32BE(count, head + 1);
}

function writeBytes(value: ArrayBufferView | ArrayBuffer): boolean {
  const bytes =
    value instanceof ArrayBuffer
      ? new Uint8Array(value)
      : new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
  charge(bytes.length);
  ensure(5);
  const { length } = bytes;
  if (length < 0x100) {
    buffer[at] = 0xc4;
    buffer[at + 1] = length;
    at += 2;
  } else if (length < 0x10000) {
    buffer[at] = 0xc5;
    buffer.writeUInt16BE(length, at + 1);
    at += 3;
  } else {
    buffer[at] = 0xc6;
    buffer.writeUInt32BE(length, at + 1);
    at += 5;
  }
  writeRaw(given.redactor?.bytes(bytes) ?? bytes);
  return true;
}

function writeRaw(bytes: Uint8Array): void {
  ensure(bytes.length);
  buffer.set(bytes, at);
  at += bytes.length;
}

function writeNull(): void {
  ensure(1);
  buffer[at++] = 0xc0;
}

function writeNumber(value: number): void {
  ensure(9);
  if (!Number.isSafeInteger(value)) {
    buffer[at] = 0xcb;
    buffer.writeDoubleBE(value, at + 1);
    at += 9;
  } else if (value >= 0 && value < 0x80) {
    buffer[at++] = value;
  } else if (value < 0 && value >= -0x20) {
    buffer[at++] = value + 0x100;
  } else if (value >= -0x8000_0000 && value < 0x8000_0000) {
    buffer[at] = 0xd2;
    buffer.writeInt32BE(value, at + 1);
    at += 5;
  } else {
    buffer[at] = 0xd3;
    buffer.writeBigInt64BE(BigInt(value), at + 1);
    at += 9;
  }
}

function writeShown(text: string): void {
  charge(text.length);
  writeText(given.redactor === null ? text : given.redactor.text(text));
}

/** Lone surrogates become U+FFFD. */
function writeText(text: string): void {
  const { length } = text;
  ensure(5 + length * 3);
  if (length < 32 && writeShortAscii(text, length)) return;
  // UTF-8 takes at most three bytes for each UTF-16 unit.
  const most = length * 3;
  const headBytes = most < 0x100 ? 2 : most < 0x10000 ? 3 : 5;
  const bytes = buffer.write(text, at + headBytes, "utf8");
  if (headBytes === 2) {
    buffer[at] = 0xd9;
    buffer[at + 1] = bytes;
  } else if (headBytes === 3) {
    buffer[at] = 0xda;
    buffer.writeUInt16BE(bytes, at + 1);
  } else {
    buffer[at] = 0xdb;
    buffer.writeUInt32BE(bytes, at + 1);
  }
  at += headBytes + bytes;
}

/** Short texts, keys above all, are written faster here than by a call out of JavaScript. */
function writeShortAscii(text: string, length: number): boolean {
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    buffer[at + 1 + i] = code;
  }
  buffer[at] = 0xa0 | length;
  at += 1 + length;
  return true;
}

function readMember(value: object, key: string): unknown {
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return unreadableMark;
  }
}
