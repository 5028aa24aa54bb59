/** Picking from JSON must say what JSON.parse says, or nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonPicker } from "../data-plane/pickJson.ts";
import { valueAt } from "../shared/references.ts";

const keys = ["flow", "data", "id", "a b", "é", "__proto__", "constructor", ""];
const anyPath = fc.array(fc.constantFrom(...keys), { maxLength: 3 });
const anyPaths = fc.array(anyPath, { maxLength: 3 });

/** Objects that have the keys that are looked for, among all other JSON. */
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string({ unit: "binary" }),
    { weight: 4, arbitrary: tie("object") },
    fc.array(tie("value"), { maxLength: 3 }),
    fc.constantFrom('"', "\\", "\u0000", "\ud800", "ü", "😀"),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.maxSafeInteger(),
    fc.boolean(),
    fc.constant(null),
  ),
  object: fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), tie("value"), { maxKeys: 4 }),
}));

/** JSON as others write it: with spaces, escapes, other forms of numbers, keys that come twice. */
const anyText = fc.oneof(
  anyValue.map((value) => JSON.stringify(value)),
  fc
    .tuple(anyValue, fc.constantFrom(1, 2, "\t"))
    .map(([value, indent]) => JSON.stringify(value, null, indent)),
  anyValue.map((value) =>
    JSON.stringify(value).replace(/[a-z]/g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`),
  ),
  fc.tuple(anyValue, anyValue).map((pair) => {
    const [first, second] = pair.map((value) => JSON.stringify(value));
    return `{"flow":${first},"data":{"id":1e2,"flow":-0},"flow":${second}}`;
  }),
);

/** Texts with something taken out, put in or written over: most are not JSON any more. */
const anyBytes = fc.oneof(
  anyText.map((text) => Buffer.from(text)),
  fc
    .tuple(
      anyText,
      fc.nat(),
      fc.nat(2),
      fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\{}[]:,0.eE+-tn '))),
    )
    .map(([text, place, cut, byte]) => {
      const bytes = Buffer.from(text);
      const at = place % (bytes.length + 1);
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at + cut)]);
    }),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
);

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parsed(bytes: Buffer): { value: unknown } | null {
  try {
    return { value: JSON.parse(strict.decode(bytes)) };
  } catch {
    return null;
  }
}

/** Of objects and lists only that they are none of the values that route. */
const scalar = (value: unknown) => (typeof value === "object" ? undefined : value);

describe("picking from JSON", () => {
  test("says what JSON.parse says, or nothing", () => {
    let told = 0;
    let refused = 0;
    fc.assert(
      fc.property(anyBytes, anyPaths, (bytes, paths) => {
        const picked = jsonPicker(paths)(bytes);
        if (picked === null) return;
        const whole = parsed(bytes);
        // What JSON.parse refuses must never be taken.
        expect(whole).not.toBeNull();
        const wanted = paths.map((path) => scalar(valueAt(whole!.value, path, 0)));
        expect(picked.map(scalar)).toStrictEqual(wanted);
        told++;
      }),
      { numRuns: 20_000 },
    );
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        if (parsed(bytes) === null) refused++;
      }),
      { numRuns: 2_000 },
    );
    // Or the property would say little.
    expect(told).toBeGreaterThan(4_000);
    expect(refused).toBeGreaterThan(200);
  });

  test("takes plain JSON of any kind, and leaves what is rare to JSON.parse", () => {
    const pick = jsonPicker([["data", "id"], ["data"], ["data", "id"]]);
    const of = (text: string) => pick(Buffer.from(text));
    expect(of(' {"data" : {"more":[1,{"id":2}],"id":"x\\n\\u00e9ü"}, "n":-1.5e-3 }\n')).toStrictEqual([
      "x\né\u00fc",
      undefined,
      "x\né\u00fc",
    ]);
    expect(of('{"data":7}')).toStrictEqual([undefined, 7, undefined]);
    expect(of("[]")).toBeNull();
    expect(jsonPicker([])(Buffer.from("[]"))).toStrictEqual([]);
    expect(of('{"data":{"id":1},"data":{}}')).toBeNull();
    expect(of('{"d\\u0061ta":1}')).toBeNull();
    expect(of('{"data":[{"id":1}]}')).toBeNull();
    for (const text of [
      "",
      " ",
      "{",
      '{"a":1,}',
      "[1,]",
      "01",
      "1.",
      "-",
      "tru",
      '"\t"',
      '"\\x"',
      "{}x",
      "\ufeff{}",
    ])
      expect(jsonPicker([])(Buffer.from(text)), text).toBeNull();
    expect(jsonPicker([])(Buffer.from([0x22, 0xff, 0x22]))).toBeNull();
    expect(jsonPicker([])(Buffer.from("[".repeat(100) + "]".repeat(100)))).toBeNull();
  });
});
