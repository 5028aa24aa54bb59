import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  parseReference,
  type RequestSource,
  routingText,
  selectFromRequest,
  selectFromResult,
} from "../shared/references.ts";

const sourceWith = (
  data: unknown,
  headers: Record<string, string> = {},
  query: Record<string, string> = {},
): RequestSource => ({
  header: (name) => headers[name],
  queryParameter: (name) => query[name],
  body: { data, contentType: "application/json" },
});

function select(text: string, source: RequestSource): string | undefined {
  const parsed = parseReference(text, "request");
  if (!parsed.ok) throw new Error(parsed.message);
  return selectFromRequest(parsed.reference, source);
}

function selectResult(text: string, result: unknown): string | undefined {
  const parsed = parseReference(text, "result");
  if (!parsed.ok) throw new Error(parsed.message);
  return selectFromResult(parsed.reference, result);
}

describe("a reference to the request", () => {
  test.each([
    "body.data.type",
    "results.body.data.type",
    "payload.results.body.data.type",
    "payload.results.results.body.data.type",
  ])("%s reads the parsed body", (text) => expect(select(text, sourceWith({ type: "order" }))).toBe("order"));

  test("reads a header in any case, and a query parameter by its exact name", () => {
    const source = sourceWith(null, { myflowname: "Update Inventory" }, { x: "1" });
    expect(select("headers.MyFlowName", source)).toBe("Update Inventory");
    expect(select("results.headers.myflowname", source)).toBe("Update Inventory");
    expect(select("queryParameters.x", source)).toBe("1");
    expect(select("queryParameters.X", source)).toBeUndefined();
  });

  test("reads keys with dots, spaces and quotes in brackets, and array items by index", () => {
    const data = { "order.type": "a", "two words": { 'it"s': ["x", "y"] } };
    expect(select('body.data["order.type"]', sourceWith(data))).toBe("a");
    expect(select('body.data[\'two words\']["it\\"s"][1]', sourceWith(data))).toBe("y");
    expect(select("body.data['two words']['it\"s'].0", sourceWith(data))).toBe("x");
    expect(select("body.data['two words']['it\"s'][2]", sourceWith(data))).toBeUndefined();
  });

  test.each([
    [42, "42"],
    [-0, "0"],
    [1.5, "1.5"],
    [true, "true"],
    ["", ""],
    [Number.MAX_SAFE_INTEGER, "9007199254740991"],
    [Number.MAX_SAFE_INTEGER + 1, undefined],
    [1e21, undefined],
    [null, undefined],
    [{}, undefined],
    [["x"], undefined],
  ])("%j routes like %j", (value, text) =>
    expect(select("body.data.v", sourceWith({ v: value }))).toBe(text),
  );

  test.each(["__proto__", "constructor", "toString", "length"])(
    "never reaches %s through a prototype",
    (key) => {
      expect(select(`body.data.${key}`, sourceWith({}))).toBeUndefined();
      expect(select(`body.data.list.${key}`, sourceWith({ list: ["a"] }))).toBeUndefined();
      expect(select(`body.data.text.${key}`, sourceWith({ text: "a" }))).toBeUndefined();
    },
  );

  test("an own key named __proto__ is a key like any other", () => {
    expect(select("body.data.__proto__", sourceWith(JSON.parse('{"__proto__":"flow"}')))).toBe("flow");
  });

  test.each([
    ["", "empty"],
    ["body.data.", "ends with a dot"],
    ["body..data", "missing"],
    [".body", "missing"],
    ["body.data[", "index or a quoted key"],
    ["body.data['x", "not closed"],
    ["body.data['x'", "missing"],
    ["body.data[-1]", "index or a quoted key"],
    ["body.data.two words", "brackets with quotes"],
    ["body.data['a']b", "dot is missing"],
    ["cookies.x", "must start with"],
    ["headers", "exactly one"],
    ["headers.a.b", "exactly one"],
    ["body.type", "body.data"],
    ["x".repeat(2000), "longer than"],
    [`body.data${".a".repeat(100)}`, "more than"],
  ])("%j does not parse", (text, message) => {
    const parsed = parseReference(text, "request");
    expect(parsed).toMatchObject({ ok: false, message: expect.stringContaining(message) });
  });
});

describe("a reference to a preprocess flow's result", () => {
  test.each([
    "flowName",
    "results.flowName",
    "onExecution.results.flowName",
    "onExecution.results.results.flowName",
  ])("%s reads it", (text) => expect(selectResult(text, { flowName: "Create Order" })).toBe("Create Order"));

  test("prefers what is literally there over the short form", () => {
    expect(selectResult("results.flowName", { results: { flowName: "inner" }, flowName: "outer" })).toBe(
      "inner",
    );
  });

  test("does not run a getter that flow code left in its result", () => {
    const result = Object.defineProperty({}, "flowName", { enumerable: true, get: () => "x" });
    expect(selectResult("flowName", result)).toBeUndefined();
  });

  test.each([undefined, null, 1, "text", []])("matches nothing in %j", (result) =>
    expect(selectResult("flowName", result)).toBeUndefined(),
  );
});

describe("against a plain model", () => {
  const key = fc.oneof(
    fc.string({ minLength: 1, maxLength: 6 }),
    fc.constantFrom("__proto__", "a.b", "two words", "0", "toString", "results", "body"),
  );
  const json = fc.jsonValue({ maxDepth: 4 });

  /** What a careful reader of the rules would write: own keys only, arrays by index, scalars as text. */
  function model(data: unknown, path: string[]): string | undefined {
    let value = data;
    for (const step of path) {
      if (value === null || typeof value !== "object") return undefined;
      if (Array.isArray(value) && String(Number(step)) !== step) return undefined;
      if (!Object.hasOwn(value, step)) return undefined;
      value = (value as Record<string, unknown>)[step];
    }
    if (typeof value === "string") return value;
    if (typeof value === "boolean") return `${value}`;
    if (typeof value === "number") return Math.abs(value) <= 9007199254740991 ? `${value}` : undefined;
    return undefined;
  }

  const quoted = (step: string) => `["${step.replace(/(["\\])/g, "\\$1")}"]`;

  test("quoted paths select what the model selects, in any JSON", () => {
    fc.assert(
      fc.property(json, fc.array(key, { minLength: 1, maxLength: 5 }), (data, path) => {
        expect(select(`body.data${path.map(quoted).join("")}`, sourceWith(data))).toBe(model(data, path));
      }),
      { numRuns: 2000 },
    );
  });

  test("a path that exists is found", () => {
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 5 }), fc.string(), (path, leaf) => {
        const data = path.reduceRight<unknown>(
          (inner, step) => Object.defineProperty({}, step, { value: inner, enumerable: true }),
          leaf,
        );
        expect(select(`body.data${path.map(quoted).join("")}`, sourceWith(data))).toBe(leaf);
      }),
      { numRuns: 1000 },
    );
  });

  test("parsing and selecting never throw, whatever the text and the body", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 60, unit: "binary" }),
        fc.anything({ withBigInt: true, withNullPrototype: true }),
        (text, data) => {
          for (const target of ["request", "result"] as const) {
            const parsed = parseReference(text, target);
            if (!parsed.ok) expect(parsed.message.length).toBeGreaterThan(0);
            else if (target === "request") selectFromRequest(parsed.reference, sourceWith(data));
            else selectFromResult(parsed.reference, data);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("only scalars route", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const text = routingText(value);
        if (text !== undefined) expect(["string", "number", "boolean"]).toContain(typeof value);
      }),
    );
  });
});
