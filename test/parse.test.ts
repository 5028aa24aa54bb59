import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBodyParser } from "../data-plane/largeBodies.ts";
import { type ParsedBody, parseBody } from "../data-plane/parse.ts";
import { parseReference, selectFromRequest } from "../shared/references.ts";

const parse = (body: string | Buffer, contentType: string) =>
  parseBody(Buffer.from(body as string), contentType);
const data = async (body: string | Buffer, contentType: string) => {
  const parsed = await parse(body, contentType);
  return parsed.ok ? parsed.data : { refused: parsed.message };
};

describe("a body is read as its Content-Type says", () => {
  test("JSON, also with a suffix, a charset and a byte order mark", async () => {
    expect(await data('{"a":1}', "application/json")).toEqual({ a: 1 });
    expect(await data('{"a":"é"}', "application/vnd.api+json; charset=utf-8")).toEqual({ a: "é" });
    expect(await data("\ufeff[1]", "application/json")).toEqual([1]);
    expect(await data(Buffer.from('{"a":"é"}', "latin1"), "application/json; charset=iso-8859-1")).toEqual({
      a: "é",
    });
  });

  test("an empty body has no data, whatever its type", async () => {
    for (const type of ["application/json", "text/xml", "multipart/form-data; boundary=x", "", "image/png"])
      expect(await data("", type)).toBeNull();
  });

  test("XML, with attributes and every digit of its values", async () => {
    expect(
      await data(
        '<?xml version="1.0"?><order id="007"><type>create</type><n>1.50</n></order>',
        "application/xml",
      ),
    ).toMatchObject({
      order: { "@_id": "007", type: "create", n: "1.50" },
    });
    expect(await data("<a>&lt;b&gt; &amp; c</a>", "text/xml")).toEqual({ a: "<b> & c" });
  });

  test("forms, repeated fields as lists", async () => {
    expect(await data("a=1&b=two+words&a=2", "application/x-www-form-urlencoded")).toEqual({
      a: ["1", "2"],
      b: "two words",
    });
  });

  test("multipart with fields and files", async () => {
    const body =
      '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name="f"; filename="t.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n';
    expect(await data(body, "multipart/form-data; boundary=x")).toEqual({
      a: "1",
      f: { filename: "t.txt", contentType: "text/plain", data: Buffer.from("hello") },
    });
  });

  test("text as text, bytes as bytes, and without a type what it turns out to be", async () => {
    expect(await data("héllo", "text/plain")).toBe("héllo");
    expect(await data(Buffer.from([0, 255]), "application/octet-stream")).toEqual(Buffer.from([0, 255]));
    expect(await data('{"a":1}', "")).toEqual({ a: 1 });
    expect(await data("not json", "")).toBe("not json");
    expect(await data(Buffer.from([0xff, 0xfe, 0xfd]), "")).toEqual(Buffer.from([0xff, 0xfe, 0xfd]));
  });
});

describe("what can't be read is refused with a reason, and takes nothing down", () => {
  test.each([
    ['{"a":', "application/json"],
    ["[".repeat(10_000) + "]".repeat(10_000), "application/json"],
    [`${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`, "application/json"],
    [Buffer.from([0x22, 0xff, 0x22]), "application/json"],
    ["<a><b></a>", "application/xml"],
    ['<!DOCTYPE a [<!ENTITY x "yyyy"><!ENTITY z "&x;&x;">]><a>&z;</a>', "application/xml"],
    ["plain", "multipart/form-data"],
    ['--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nno end', "multipart/form-data; boundary=x"],
    ["a=1&".repeat(20_000), "application/x-www-form-urlencoded"],
    ["x", "text/plain; charset=klingon"],
  ])("%.40s as %s", async (body, contentType) => {
    const parsed = await parse(body, contentType);
    expect(parsed).toMatchObject({ ok: false, message: expect.stringMatching(/\w+/) });
  });

  test("deeply nested XML", async () => {
    const parsed = await parse(`${"<a>".repeat(50_000)}${"</a>".repeat(50_000)}`, "application/xml");
    expect(parsed.ok).toBe(false);
  });

  test("keys that would pollute a prototype are own keys at most", async () => {
    for (const [body, type] of [
      ['{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}', "application/json"],
      ["__proto__[polluted]=1&__proto__=2", "application/x-www-form-urlencoded"],
      ["<x><__proto__><polluted>1</polluted></__proto__></x>", "application/xml"],
      [
        '--x\r\nContent-Disposition: form-data; name="__proto__"\r\n\r\n1\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
      ],
    ]) {
      await parse(body!, type!);
      expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    }
  });

  test("any bytes as any type get a verdict", async () => {
    const types = [
      "application/json",
      "application/xml",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "text/plain",
      "",
      "a/b",
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(...types),
        async (bytes, contentType) => {
          const parsed = await parseBody(Buffer.from(bytes), contentType);
          expect(typeof parsed.ok).toBe("boolean");
        },
      ),
      { numRuns: 1500 },
    );
  });
});

describe("a large body, parsed in a thread of its own", () => {
  test("routes like the same body parsed here: scalars, lists, missing values, and names of prototypes", async () => {
    const parser = createBodyParser();
    const filler = "x".repeat(300 * 1024);
    const body = Buffer.from(
      JSON.stringify({
        filler,
        type: "order",
        n: 42,
        big: 2 ** 60,
        list: [{ id: "a" }],
        none: null,
        deep: { "a.b": true },
      }),
    );
    const texts = [
      "type",
      "n",
      "big",
      "list[0].id",
      "list[1].id",
      "list.length",
      "none",
      "deep",
      'deep["a.b"]',
      "toString",
    ];
    const references = texts.map((text) => {
      const parsed = parseReference(`body.data.${text}`, "request");
      if (!parsed.ok) throw new Error(parsed.message);
      return parsed.reference;
    });
    const paths = () => references.map((reference) => reference.paths[0]!.slice(1));
    const [there, here] = [
      await parser.parse(body, "application/json", paths),
      await parse(body, "application/json"),
    ];
    const selected = (parsed: ParsedBody) => {
      if (!parsed.ok) throw new Error(parsed.message);
      const source = { header: () => undefined, queryParameter: () => undefined, body: parsed };
      return references.map((reference) => selectFromRequest(reference, source));
    };
    await parser.close();
    expect(JSON.stringify(there)).not.toContain(filler);
    expect(selected(there)).toEqual(selected(here));
    expect(selected(there).filter((value) => value !== undefined)).toEqual(["order", "42", "a", "true"]);
  });
});
