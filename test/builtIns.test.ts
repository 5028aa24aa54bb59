/** Public components in real threads: each action by a table of inputs, and what it gives or says. */
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtIns } from "../data-plane/runtime/builtIns/all.ts";
import { builtInCatalogue } from "../shared/builtIns/catalogue.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import {
  definitionOf,
  type FlowRuns,
  type Sent,
  type ShortStep,
  startFlowRuns,
  yamlOf,
} from "./support/flowRuns.ts";

let flows: FlowRuns;

beforeAll(async () => {
  flows = await startFlowRuns();
});
afterAll(() => flows.stop());

/** The step's results, or the error's sentence. */
async function gives(action: string, inputs: Record<string, unknown>, body?: unknown): Promise<unknown> {
  const { data, outcome } = await flows.run(definitionOf([["Step", action, inputs]]), { body });
  return outcome.error ?? data;
}

const ref = (path = "") => ({ ref: `trigger.results.body.data${path}` });
const pairs = (members: Record<string, string>) => ({
  type: "complex",
  value: Object.entries(members).map(([name, value]) => ({ name, type: "value", value })),
});
const values = (...members: string[]) => ({
  type: "complex",
  value: members.map((value) => ({ type: "value", value })),
});
const says = (text: string) => expect.stringContaining(text);

test("what is described is what can be run, by the same keys and with the same inputs", () => {
  const described = builtInCatalogue.map(({ key, actions, triggers }) => ({
    key,
    actions: keysOf(actions, ({ inputs }) => Object.keys(inputs)),
    triggers: keysOf(triggers, ({ inputs }) => Object.keys(inputs)),
  }));
  const runnable = builtIns.map(({ key, actions, triggers }) => ({
    key,
    actions: keysOf(actions, ({ inputs }) => (inputs ?? []).map((input) => input.key)),
    triggers: keysOf(triggers, ({ inputs }) => (inputs ?? []).map((input) => input.key)),
  }));
  expect(runnable).toEqual(described);
  for (const { actions, triggers } of builtIns)
    for (const { perform } of [...Object.values(actions), ...Object.values(triggers)])
      expect(perform).toBeTypeOf("function");
});

function keysOf<Part>(parts: Readonly<Record<string, Part>>, inputsOf: (part: Part) => string[]) {
  return Object.fromEntries(Object.entries(parts).map(([key, part]) => [key, inputsOf(part)]));
}

type Row = [action: string, inputs: Record<string, unknown>, expected: unknown, body?: unknown];

const tables: Record<string, Row[]> = {
  math: [
    ["add", { numbers: values("1", "2.5", "-1") }, 2.5],
    ["add", { numbers: ref() }, 6, [1, 2, 3]],
    ["subtract", { numbers: values("10", "3", "2") }, 5],
    ["multiply", { numbers: values("4", "0.5") }, 2],
    ["divide", { numbers: values("9", "3") }, 3],
    ["divide", { numbers: values("9", "0") }, says("not a number")],
    ["min", { numbers: values("3", "1"), dynamicNumbers: "[7, 5]" }, 5],
    ["max", { numbers: values("3", "10") }, 10],
    ["max", { numbers: values() }, says('"numbers" has no numbers')],
    ["add", { numbers: values("1", "two") }, says('not a number: "two"')],
    ["abs", { number: "-3" }, 3],
    ["ceil", { number: "1.2" }, 2],
    ["floor", { number: "-1.2" }, -2],
    ["round", { number: "1.5" }, 2],
    ["trunc", { number: "-1.7" }, -1],
    ["sqrt", { number: "9" }, 3],
    ["sqrt", { number: "-1" }, says("not a number")],
    ["pow", { base: "2", exponent: "10" }, 1024],
    ["random", { min: "3", max: "3" }, 3],
    ["randomInt", { min: "4", max: "4" }, 4],
    ["randomInt", { min: "5", max: "4" }, says("larger")],
  ],
  "text-manipulation": [
    ["upperCase", { text: "straße" }, "STRASSE"],
    ["lowerCase", { text: { template: "{{$trigger.results.body.data.a}}" } }, "äb", { a: "ÄB" }],
    ["trim", { text: "  a b " }, "a b"],
    ["stringLength", { text: "abc" }, 3],
    ["htmlEncode", { text: `<a href="x">'&'</a>` }, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;"],
    ["htmlDecode", { text: "&lt;b&gt; &#65;&#x42; &unknown; &amp;lt;" }, "<b> AB &unknown; &lt;"],
    ["encodeBase64", { text: "ü" }, "w7w="],
    ["decodeBase64", { text: "w7w=" }, "ü"],
    ["slice", { text: "abcdef", sliceStart: "1", sliceStop: "-1" }, "bcde"],
    ["slice", { text: "abcdef", sliceStart: "", sliceStop: "" }, "abcdef"],
    ["replace", { text: "a.b.c", find: ".", replace: "$&" }, "a$&b$&c"],
    ["replace", { text: "a1b22", find: "/(\\d+)/", replace: "<$1>" }, "a<1>b<22>"],
    ["replace", { text: "a", find: "/(/", replace: "" }, says("not a regular expression")],
    ["split", { text: "a;b", separator: ";" }, ["a", "b"]],
    ["splitLines", { text: "a\r\n\nb" }, ["a", "b"]],
    ["splitLines", { text: "a\n\nb", filterBlankLines: "false" }, ["a", "", "b"]],
    ["join", { strings: values("a", "b"), separator: ", " }, "a, b"],
    ["match", { text: "a1b22", regex: "\\d+" }, ["1", "22"]],
    ["match", { text: "abc", regex: "\\d+" }, null],
  ],
  "collection-tools": [
    ["first", { listInput: ref() }, 1, [1, 2]],
    ["last", { listInput: "[1,2]" }, 2],
    ["last", { listInput: "nothing like it" }, says('"listInput" is not a list')],
    ["length", { listInput: ref() }, 2, ["a", "b"]],
    ["flatten", { listInput: ref() }, [1, 2, [3]], [[1], [2, [3]]]],
    [
      "deduplicate",
      { listInput: ref() },
      [1, "1", { a: 1, b: 2 }, [1]],
      [1, "1", 1, { a: 1, b: 2 }, { b: 2, a: 1 }, [1], [1]],
    ],
    ["append", { listInput: ref(), element: "b" }, ["a", "b"], ["a"]],
    [
      "remove",
      { listInput: ref(".list"), element: ref(".one") },
      [2],
      { list: [{ a: 1 }, 2, { a: 1 }], one: { a: 1 } },
    ],
    ["count", { listInput: ref(), element: "a" }, 2, ["a", "b", "a"]],
    ["takeFirst", { listInput: ref(), numberInput: "2" }, [1, 2], [1, 2, 3]],
    ["takeLast", { listInput: ref(), numberInput: "2" }, [2, 3], [1, 2, 3]],
    ["takeLast", { listInput: ref(), numberInput: "0" }, [], [1, 2, 3]],
    ["chunks", { listInput: ref(), numberInput: "2" }, [[1, 2], [3]], [1, 2, 3]],
    ["chunks", { listInput: ref(), numberInput: "0" }, says("whole number from 1 on"), [1]],
    ["concatenate", { listInput: ref(), secondListInput: "[3]" }, [1, 3], [1]],
    ["selectItemFromList", { listInput: ref(), index: "-1" }, 2, [1, 2]],
    [
      "filter",
      { listInput: ref(), filterFunction: "(item, index) => item > 1 && index < 2" },
      [2],
      [1, 2, 3],
    ],
    ["filter", { listInput: ref(), filterFunction: "(item" }, says("can't be compiled"), [1]],
    [
      "map",
      {
        listInput: ref(),
        mapFunction: "(item, index, context) => item * 2 + index + context;",
        contextData: ref("[2]"),
      },
      [5, 8, 11],
      [1, 2, 3],
    ],
    ["sort", { listInput: ref(), sortFunction: "(a, b) => a - b" }, [1, 2, 10], [10, 1, 2]],
    ["aggregate", { listInput: ref(), aggregateFunction: "AVERAGE" }, 2, [1, 2, 3]],
    ["aggregate", { listInput: ref(), aggregateFunction: "median" }, 2.5, [1, 2, 3, 4]],
    [
      "aggregate",
      { listInput: ref(), aggregateFunction: "COUNT", filterFunction: "(n) => n > 1" },
      2,
      [1, 2, 3],
    ],
    ["aggregate", { listInput: ref(), aggregateFunction: "MAX" }, null, []],
    [
      "aggregate",
      { listInput: ref(), aggregateFunction: "MODE" },
      says("There is no aggregate function"),
      [],
    ],
    ["create", { items: values("a", "b") }, ["a", "b"]],
    ["createObject", { keyValueInput: pairs({ a: "1", b: "2" }) }, { a: "1", b: "2" }],
    [
      "addKey",
      { object: ref(), key: "c", value: "1", objectPath: "a.b" },
      { a: { b: { c: "1" }, x: 1 } },
      { a: { x: 1 } },
    ],
    [
      "addKey",
      { object: ref(), key: "c", value: "1", objectPath: "a" },
      says("there is no object"),
      { a: 1 },
    ],
    ["toObject", { keyValueList: ref() }, { a: 1 }, [{ key: "a", value: 1 }]],
    ["fromObject", { object: ref() }, [{ key: "a", value: 1 }], { a: 1 }],
  ],
  "change-data-format": [
    ["csvToJson", { data: 'a,b\n1,"x\ny"\n' }, '[{"a":"1","b":"x\\ny"}]'],
    ["csvToJson", { data: "1,2", header: "false" }, '[["1","2"]]'],
    ["csvToXml", { data: "a\n1\n2" }, "<root><row><a>1</a></row><row><a>2</a></row></root>"],
    ["csvToYaml", { data: "a\n1" }, '- a: "1"\n'],
    ["jsonToCsv", { data: '[{"a":1},{"b":"x,y"}]' }, 'a,b\n1,\n,"x,y"\n'],
    [
      "jsonToXml",
      { data: '{"order":{"@_id":"7","line":[1,2]}}' },
      '<order id="7"><line>1</line><line>2</line></order>',
    ],
    ["jsonToXml", { data: "{" }, says('The input "data" is not JSON')],
    ["jsonToYaml", { data: ref() }, "a: 1\n", { a: 1 }],
    ["xmlToJson", { data: '<order id="7"><n>007</n><n>2</n></order>' }, '{"order":{"n":[7,2],"@_id":"7"}}'],
    ["xmlToJson", { data: "<n>007</n>", parseNumbersAsStrings: "true" }, '{"n":"007"}'],
    ["xmlToJson", { data: "<n>" }, says("is not XML")],
    ["xmlToJson", { data: '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>' }, says("declares entities")],
    ["xmlToYaml", { data: "<a>b</a>" }, "a: b\n"],
    ["xmlToCsv", { data: "<a>b</a>" }, "a\nb\n"],
    ["yamlToJson", { data: "a: [1, 2]" }, '{"a":[1,2]}'],
    ["yamlToXml", { data: "a: 1" }, "<a>1</a>"],
    ["yamlToCsv", { data: "[{a: 1}]" }, "a\n1\n"],
    ["deserializeFromJson", { data: '{"a":1}' }, { a: 1 }],
    ["deserializeFromJson", { data: ref() }, { a: 1 }, { a: 1 }],
    ["deserializeFromXml", { data: "<a>1</a>" }, { a: 1 }],
    ["deserializeFromCsv", { data: "a\n1" }, [{ a: "1" }]],
    ["deserializeFromYaml", { data: "- 1" }, [1]],
    ["binaryToJson", { data: ref() }, '{"a":1}', { a: 1 }],
    ["binaryToXml", { data: ref() }, "<a>1</a>", { a: 1 }],
    ["binaryToCsv", { data: ref() }, "a\n1\n", [{ a: 1 }]],
    ["binaryToYaml", { data: ref() }, "a: 1\n", { a: 1 }],
    ["deserializeFormData", { data: "a=1&b=2&b=3" }, { a: "1", b: ["2", "3"] }],
    ["serializeFormData", { data: ref() }, "a=x+y&b=1&b=2", { a: "x y", b: [1, 2] }],
    ["prettyPrint", { data: '{"a":1}' }, '{\n  "a": 1\n}'],
    ["convertToString", { value: ref() }, '{"a":1}', { a: 1 }],
    ["convertToNumber", { value: "1.5" }, 1.5],
    ["convertToNumber", { value: "" }, says("not a number")],
    ["convertToInt", { value: "-1.5" }, -1],
    ["convertToBoolean", { value: "No" }, false],
    ["convertToBoolean", { value: "anything" }, true],
  ],
  datetime: [
    [
      "adjustDateTime",
      { dateTime: "2024-02-28T23:00:00Z", hours: "2", days: "-1" },
      "2024-02-28T01:00:00.000Z",
    ],
    ["adjustDateTime", { dateTime: "neverday" }, says('not a time: "neverday"')],
    [
      "formatDateTime",
      {
        dateTime: "2024-07-01T12:30:05.007Z",
        timezone: "Europe/Berlin",
        format: "dddd DD.MM.YYYY [at] hh:mm A, SSS Z",
      },
      "Monday 01.07.2024 at 02:30 PM, 007 +02:00",
    ],
    [
      "formatDateTime",
      { dateTime: "2024-07-01T12:30:05Z", timezone: "etc/UTC" },
      "2024-07-01T12:30:05.000+00:00",
    ],
    ["formatDateTime", { dateTime: "2024-07-01", timezone: "Middle/Earth" }, says("There is no time zone")],
    ["convertToIsoString", { dateTime: "Mon, 01 Jul 2024 12:00:00 +0200" }, "2024-07-01T10:00:00.000Z"],
    ["convertToISOString", { dateTime: ref() }, "2024-07-01T10:00:00.000Z", 1719828000000],
    [
      "convertToLocalIsoString",
      { dateTime: "2024-01-01T00:00:00Z", timezone: "America/New_York" },
      "2023-12-31T19:00:00.000-05:00",
    ],
    ["convertToEpoch", { dateTime: "1970-01-01T00:00:01.500Z" }, 1500],
    ["convertToEpoch", { dateTime: "1970-01-01T00:00:01.500Z", displayEpochInSeconds: "true" }, 1],
    ["convertFromEpoch", { epochTimestamp: "1500" }, "1970-01-01T00:00:01.500Z"],
    [
      "convertFromEpoch",
      { epochTimestamp: "2", epochTimestampInSeconds: "true" },
      "1970-01-01T00:00:02.000Z",
    ],
    ["getCurrentDateTime", {}, expect.stringMatching(/^20\d\d-.*Z$/)],
    ["getCurrentDateTime", { displayEpochInSeconds: "true" }, expect.any(Number)],
  ],
  hash: [
    ["computeHash", { message: "abc" }, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    ["computeHash", { hashFunction: "md5", message: "abc" }, "900150983cd24fb0d6963f7d28e17f72"],
    ["computeHash", { hashFunction: "crc", message: "abc" }, says("There is no hash function")],
    ["computeMd5", { message: "" }, "d41d8cd98f00b204e9800998ecf8427e"],
    ["computeSha1", { message: "abc" }, "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ["computeSha256", { message: "abc" }, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    ["computeSha384", { message: "abc" }, expect.stringMatching(/^cb00753f45a35e8b/)],
    ["computeSha512", { message: "abc" }, expect.stringMatching(/^ddaf35a193617aba/)],
    [
      "computeHmac",
      { secretKey: "key", message: "The quick brown fox jumps over the lazy dog" },
      "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
    ],
    ["computeHmac", { message: "abc" }, says('"secretKey" is empty')],
  ],
  log: [
    ["writeLog", { level: "warn", message: "careful" }, "careful"],
    ["writeLog", { level: "loud", message: "x" }, says("There is no log level")],
    ["writeMetric", { metrics: pairs({ orders: "3" }) }, { orders: "3" }],
  ],
  sleep: [
    ["sleep", { ms: "1" }, null],
    ["sleep", { ms: "soon" }, says('"ms" is not a number')],
  ],
};

describe.each(Object.entries(tables))("%s", (component, rows) => {
  test("gives what its table says", async () => {
    const got = await Promise.all(
      rows.map(([action, inputs, , body]) => gives(`${component}/${action}`, inputs, body)),
    );
    expect(got.map((result, row) => [rows[row]![0], result])).toEqual(
      rows.map(([action, , expected]) => [action, expected]),
    );
  });

  test("has each of its actions in its table", () => {
    const { actions } = builtInCatalogue.find(({ key }) => key === component)!;
    const covered = new Set(rows.map(([action]) => action));
    expect(Object.keys(actions).filter((action) => !covered.has(action))).toEqual([]);
  });
});

describe("persist-data", () => {
  test("keeps values, lists, sets and numbers for later steps", async () => {
    const at = (action: string, inputs: Record<string, unknown> = {}): ShortStep => [
      action,
      `persist-data/${action}`,
      inputs,
    ];
    const { data, outcome } = await flows.run(
      definitionOf([
        at("saveExecutionValue", { keyInput: "a", valueInput: ref() }),
        at("saveCrossFlowValue", { keyValueInput: pairs({ x: "1", y: "2" }) }),
        at("appendExecutionValueToList", { keyInput: "list", valueInput: "1" }),
        at("addExecutionValueToSet", { keyInput: "list", valueInput: "1" }),
        at("addExecutionValueToSet", { keyInput: "list", valueInput: "2" }),
        at("removeExecutionValueFromList", { keyInput: "list", valueInput: "1" }),
        at("incrementInstanceValue", { keyInput: "n", amountInput: "5" }),
        at("decrementInstanceValue", { keyInput: "n" }),
        at("removeCrossFlowValue", { keyInput: "x" }),
        at("listCrossFlowKeys"),
        at("getIntegrationValue", { keyInput: "none", defaultValueInput: "instead" }),
        at("saveIntegrationCurrentTime", { keyInput: "now" }),
        [
          "Show",
          "code/runCode",
          {
            code: "module.exports = async (c, s) => ({ data: { e: c.executionState, i: c.instanceState, x: c.crossFlowState, now: typeof c.integrationState.now, keys: s.listCrossFlowKeys.results, none: s.getIntegrationValue.results, saved: s.saveExecutionValue.results.value } })",
          },
        ],
      ]),
      { body: { v: 1 } },
    );
    expect(outcome.error).toBeNull();
    expect(data).toEqual({
      e: { a: { v: 1 }, list: ["2"] },
      i: { n: 4 },
      x: { y: "2" },
      now: "string",
      keys: ["y"],
      none: "instead",
      saved: { v: 1 },
    });
    expect(await gives("persist-data/removeExecutionState", {})).toBeNull();
    expect(await gives("persist-data/saveExecutionValue", { valueInput: "1" })).toContain(
      '"keyInput" is empty',
    );
  });
});

describe("http", () => {
  let server: Server;
  let url: string;
  let failures = 0;

  beforeAll(async () => {
    server = createServer(async (request, response) => {
      const path = new URL(request.url!, "http://x").pathname;
      if (path === "/flaky" && failures-- > 0) return void response.writeHead(503).end("not yet");
      if (path === "/missing") return void response.writeHead(404).end("no such thing");
      if (path === "/slow") return;
      if (path === "/large") return void writeLarge(response);
      if (path === "/text") return void response.end("just text");
      if (path === "/file")
        return void response.writeHead(200, { "content-type": "image/png" }).end(Buffer.from([0, 255]));
      const body = await bodyOf(request);
      const { accept, authorization, "content-type": type, "x-a": header } = request.headers;
      response.writeHead(200, { "content-type": "application/json", "x-method": request.method! }).end(
        JSON.stringify({
          method: request.method,
          url: request.url,
          body,
          accept,
          authorization,
          type,
          header,
        }),
      );
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  function writeLarge(response: {
    write(chunk: Buffer): boolean;
    end(): void;
    once(event: "drain" | "close", then: () => void): void;
  }): void {
    let left = 40;
    const write = () => {
      while (left-- > 0)
        if (!response.write(Buffer.alloc(1024 * 1024))) return void response.once("drain", write);
      response.end();
    };
    write();
  }

  async function bodyOf(request: IncomingMessage): Promise<string> {
    let text = "";
    for await (const chunk of request) text += chunk;
    return text;
  }

  test("sends method, query, headers and body, and gives what was answered", async () => {
    expect(
      await gives(
        "http/httpPost",
        {
          url: `${url}/a?x=1`,
          data: ref(),
          headers: pairs({ "X-A": "1" }),
          queryParams: pairs({ "q q": "ü" }),
        },
        { n: 1 },
      ),
    ).toMatchObject({
      method: "POST",
      url: "/a?x=1&q+q=%C3%BC",
      body: '{"n":1}',
      type: "application/json",
      header: "1",
    });
    for (const method of ["Get", "Put", "Patch", "Delete"])
      expect(await gives(`http/http${method}`, { url, data: "text" })).toMatchObject({
        method: method.toUpperCase(),
        body: method === "Get" ? "" : "text",
      });
    expect(await gives("http/httpHead", { url })).toMatchObject({
      status: 200,
      headers: { "x-method": "HEAD" },
    });
    expect(await gives("http/httpRequest", { url, method: "options" })).toMatchObject({ method: "OPTIONS" });
    expect(await gives("http/httpGet", { url, includeFullResponse: "true" })).toMatchObject({
      status: 200,
      data: { method: "GET" },
    });
    expect(await gives("http/httpGet", { url: `${url}/text` })).toBe("just text");
    expect(await gives("http/httpGet", { url: `${url}/file`, responseType: "binary" })).toEqual(
      new Uint8Array([0, 255]),
    );
  });

  test("signs in with a connection", async () => {
    const connect = (connection: object) =>
      flows.run(
        definitionOf([
          [
            "Connect",
            "code/runCode",
            { code: `module.exports = async () => ({ data: ${JSON.stringify(connection)} })` },
          ],
          ["Get", "http/httpGet", { url, connection: { ref: "connect.results" } }],
        ]),
      );
    const authorizationOf = async (connection: object) =>
      ((await connect(connection)).data as { authorization: string }).authorization;
    expect(await authorizationOf({ token: { access_token: "abc" }, fields: {} })).toBe("Bearer abc");
    expect(await authorizationOf({ fields: { username: "u", password: "p" } })).toBe("Basic dTpw");
    expect(await authorizationOf({ fields: { apiKey: "k", authScheme: "Token" } })).toBe("Token k");
  });

  test("fails with the status, a timeout, a size or a URL that is none", async () => {
    expect(await gives("http/httpGet", { url: `${url}/missing` })).toContain(
      "was answered 404 Not Found: no such thing",
    );
    expect(await gives("http/httpGet", { url: `${url}/slow`, timeout: "50" })).toContain(
      "no answer within 50 ms",
    );
    expect(await gives("http/httpGet", { url: `${url}/large`, responseType: "binary" })).toContain(
      "larger than",
    );
    expect(await gives("http/httpGet", { url: "ftp://x" })).toContain("must start with http:");
    expect(await gives("http/httpGet", { url: "nowhere" })).toContain("is not a URL");
    expect(await gives("http/httpGet", { url: "http://127.0.0.1:1/" })).toContain("failed:");
    expect(await gives("http/httpGet", { url, ignoreSslErrors: "true" })).toContain("not supported");
  });

  test("tries again as often as it is told, where that may help", async () => {
    const flaky = { url: `${url}/flaky`, maxRetries: "2", retryDelayMS: "1", responseType: "text" };
    failures = 2;
    const { data, logs } = await flows.run(definitionOf([["Get", "http/httpGet", flaky]]));
    expect(data).toContain('"method":"GET"');
    expect(logs.filter(({ severity }) => severity === "WARN")).toHaveLength(2);
    failures = 2;
    expect(await gives("http/httpGet", { ...flaky, maxRetries: "1" })).toContain("503");
    failures = 0;
    const missing = await flows.run(
      definitionOf([["Get", "http/httpGet", { ...flaky, url: `${url}/missing` }]]),
    );
    expect(missing.logs.filter(({ severity }) => severity === "WARN")).toHaveLength(0);
  });
});

describe("triggers", () => {
  test("of webhooks answer what their inputs say", async () => {
    const yaml = yamlOf([], "Answer").replace(
      "inputs: {}",
      "inputs: { statusCode: { type: value, value: '202' }, body: { type: value, value: thanks }, contentType: { type: value, value: text/plain }, headers: { type: complex, value: [{ name: x-a, type: value, value: b }] } }",
    );
    const { definition } = importDefinition(yaml);
    expect(definition.flows[0]!.hasTriggerCode).toBe(true);
    const { responses } = await flows.run(definition);
    expect(responses).toEqual([
      { statusCode: 202, contentType: "text/plain", headers: { "x-a": "b" }, body: "thanks" },
    ]);
    const empty = yamlOf([], "Empty").replace(
      "inputs: {}",
      "inputs: { statusCode: { type: value, value: '' }, headers: { type: complex, value: [] } }",
    );
    expect(importDefinition(empty).definition.flows[0]!.hasTriggerCode).toBe(false);
  });

  test("of signed webhooks let through what is signed", async () => {
    const yaml = yamlOf([], "Signed", "hash/hmacWebhookTrigger").replace(
      "inputs: {}",
      "inputs: { hmacHeaderName: { type: value, value: X-Signature }, secretKey: { type: value, value: secret } }",
    );
    const { definition } = importDefinition(yaml);
    const body = { a: 1 };
    const digest = (encoding: "hex" | "base64") =>
      createHmac("sha256", "secret").update(JSON.stringify(body)).digest(encoding);
    const send = (
      signature: string,
    ): Promise<{ outcome: { error: string | null; errorCode: string | null } }> =>
      flows.run(definition, {
        body,
        headers: [
          ["Content-Type", "application/json"],
          ["x-signature", signature],
        ],
      } satisfies Sent);
    for (const signature of [digest("hex"), digest("base64"), `sha256=${digest("hex")}`])
      expect((await send(signature)).outcome.error).toBeNull();
    expect((await send(digest("hex").replace(/^./, "z"))).outcome).toMatchObject({
      errorCode: "TRIGGER_FAILED",
      error: says("does not sign the body"),
    });
    expect((await flows.run(definition, { body })).outcome.error).toContain('no header "X-Signature"');
  });
});
