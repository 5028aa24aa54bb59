/**
 * Picks the values that route a webhook out of its JSON, without building the rest: one pass over the bytes, which
 * checks the whole text as JSON.parse would. Where it says nothing, only JSON.parse knows: the text is not JSON,
 * or has what is too rare to be worth a rule here (a picked key that comes twice or is written with escapes, an
 * array on the way, deep nesting). A property test holds it against JSON.parse.
 */
import { isUtf8 } from "node:buffer";

/** The values in the order of the paths, undefined where nothing lies; null where it has nothing to say. */
export type PickJson = (bytes: Buffer) => readonly unknown[] | null;

interface Place {
  /** Where the value here goes; -1 where none is wanted. */
  slot: number;
  keys: { bytes: Buffer; place: Place }[];
  /** The pass in which it was met last. */
  metIn: number;
}

const depthMax = 64;
const quote = 0x22;
const backslash = 0x5c;

/** Paths: of keys, from the top of the text on. None makes a mere check. */
export function jsonPicker(paths: readonly (readonly string[])[]): PickJson {
  const top: Place = { slot: -1, keys: [], metIn: 0 };
  paths.forEach((path, slot) => {
    let place = top;
    for (const key of path) {
      const wanted = Buffer.from(key, "utf8");
      let known = place.keys.find((each) => each.bytes.equals(wanted));
      if (known === undefined) {
        known = { bytes: wanted, place: { slot: -1, keys: [], metIn: 0 } };
        place.keys.push(known);
      }
      place = known.place;
    }
    // Of two equal paths the later one gets the value, which is then given to both.
    place.slot = slot;
  });
  const slots = paths.map((path) =>
    paths.findLastIndex((other) => other.length === path.length && other.every((key, i) => key === path[i])),
  );
  const areUnlike = slots.every((slot, index) => slot === index);
  return (given) => {
    bytes = given;
    at = 0;
    end = given.length;
    seen = 0;
    pass++;
    picked = new Array(paths.length).fill(undefined);
    skipSpace();
    const isValue = readValue(top, 0);
    skipSpace();
    const isText = isValue && at === end && ((seen & 0x80) === 0 || isUtf8(given));
    const values = picked;
    bytes = nothing;
    picked = [];
    if (!isText) return null;
    return areUnlike ? values : slots.map((slot) => values[slot]);
  };
}

const nothing = Buffer.alloc(0);
/** Of the pass that is under way: variables of the file, because they are read for every byte. */
let bytes: Buffer = nothing;
let at = 0;
let end = 0;
/** All bytes of strings, or-ed. */
let seen = 0;
let pass = 0;
let picked: unknown[] = [];

function skipSpace(): void {
  while (at < end) {
    const byte = bytes[at]!;
    // Where there is a space at all; most senders write none.
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) return;
    at++;
  }
}

/** Each of these stands at its value's first byte, and returns false where it has nothing to say. */
function readValue(place: Place | null, depth: number): boolean {
  if (at >= end) return false;
  switch (bytes[at]) {
    case quote:
      return readString(place);
    case 0x7b: // {
      return readObject(place, depth);
    case 0x5b: // [
      return (place === null || place.keys.length === 0) && readArray(depth);
    case 0x74: // t
      return readWord("true", true, place);
    case 0x66: // f
      return readWord("false", false, place);
    case 0x6e: // n
      return readWord("null", null, place);
    default:
      return readNumber(place);
  }
}

function readObject(place: Place | null, depth: number): boolean {
  if (depth === depthMax) return false;
  at++;
  skipSpace();
  if (at < end && bytes[at] === 0x7d) {
    at++;
    return true;
  }
  for (;;) {
    if (at >= end || bytes[at] !== quote) return false;
    const from = at + 1;
    if (!skipString()) return false;
    let inner: Place | null = null;
    if (place !== null && place.keys.length > 0) {
      // A key that is written with escapes may be any.
      if (hadEscape) return false;
      inner = placeOf(place, from, at - 1);
      if (inner !== null) {
        if (inner.metIn === pass) return false;
        inner.metIn = pass;
      }
    }
    skipSpace();
    if (at >= end || bytes[at] !== 0x3a) return false;
    at++;
    skipSpace();
    if (!readValue(inner, depth + 1)) return false;
    skipSpace();
    if (at >= end) return false;
    const byte = bytes[at++];
    if (byte === 0x7d) return true;
    if (byte !== 0x2c) return false;
    skipSpace();
  }
}

function placeOf({ keys }: Place, from: number, to: number): Place | null {
  for (const { bytes: wanted, place } of keys) {
    if (wanted.length !== to - from) continue;
    let same = 0;
    while (same < wanted.length && wanted[same] === bytes[from + same]) same++;
    if (same === wanted.length) return place;
  }
  return null;
}

function readArray(depth: number): boolean {
  if (depth === depthMax) return false;
  at++;
  skipSpace();
  if (at < end && bytes[at] === 0x5d) {
    at++;
    return true;
  }
  for (;;) {
    if (!readValue(null, depth + 1)) return false;
    skipSpace();
    if (at >= end) return false;
    const byte = bytes[at++];
    if (byte === 0x5d) return true;
    if (byte !== 0x2c) return false;
    skipSpace();
  }
}

/** Of the string that was skipped last. */
let hadEscape = false;

function skipString(): boolean {
  hadEscape = false;
  // Most of a text is in its strings: its own variables make this loop twice as fast.
  const text = bytes;
  const last = end;
  let all = 0;
  for (let next = at + 1; next < last; ) {
    const byte = text[next++]!;
    if (byte === quote) {
      seen |= all;
      at = next;
      return true;
    }
    if (byte < 0x20) return false;
    if (byte === backslash) {
      hadEscape = true;
      at = next;
      if (!skipEscape()) return false;
      next = at;
    } else all |= byte;
  }
  return false;
}

function skipEscape(): boolean {
  if (at >= end) return false;
  switch (bytes[at++]) {
    case quote:
    case backslash:
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return true;
    case 0x75: // u
      for (const last = at + 4; at < last; at++) {
        if (at >= end || !isHex(bytes[at]!)) return false;
      }
      return true;
    default:
      return false;
  }
}

const isHex = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);

function readString(place: Place | null): boolean {
  const from = at;
  if (!skipString()) return false;
  if (place !== null && place.slot >= 0) {
    // JSON.parse undoes escapes. Bytes that are not UTF-8 are found at the end of the pass.
    picked[place.slot] = hadEscape
      ? JSON.parse(bytes.toString("utf8", from, at))
      : bytes.toString("utf8", from + 1, at - 1);
  }
  return true;
}

function readWord(word: string, value: boolean | null, place: Place | null): boolean {
  for (let index = 0; index < word.length; index++, at++) {
    if (at >= end || bytes[at] !== word.charCodeAt(index)) return false;
  }
  if (place !== null && place.slot >= 0) picked[place.slot] = value;
  return true;
}

function readNumber(place: Place | null): boolean {
  const from = at;
  if (bytes[at] === 0x2d) at++;
  const whole = at;
  if (!skipDigits()) return false;
  if (bytes[whole] === 0x30 && at > whole + 1) return false;
  if (at < end && bytes[at] === 0x2e) {
    at++;
    if (!skipDigits()) return false;
  }
  if (at < end && (bytes[at]! | 0x20) === 0x65) {
    at++;
    if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++;
    if (!skipDigits()) return false;
  }
  if (place !== null && place.slot >= 0) picked[place.slot] = Number(bytes.toString("latin1", from, at));
  return true;
}

function skipDigits(): boolean {
  const from = at;
  while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++;
  return at > from;
}
