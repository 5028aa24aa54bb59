/** Where flow code may connect to, tried with what flows use to connect. */
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../shared/config.ts";
import type { Definition } from "../shared/definition.ts";
import { checkOutbound } from "../shared/outbound.ts";
import {
  buildIntegration,
  type Recorded,
  type RunChange,
  runFlow,
  startRunner,
} from "./support/flowRunner.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";

const ways = [
  "Fetch",
  "Http",
  "Https",
  "Spectral Client",
  "Net",
  "Tls",
  "Http2",
  "Datagram",
  "Own Lookup",
  "Unix Socket",
];

let folder: string;
let definition: Definition;
let server: Server;
let port: number;
let proxy: Server;
let proxied: string[] = [];

beforeAll(async () => {
  folder = newTemporaryFolder();
  definition = await buildIntegration(source);
  server = createServer((_request, response) => response.end("pong"));
  proxy = createServer((request, response) => {
    proxied.push(`${request.method} ${request.url}`);
    response.end("by proxy");
  });
  proxy.on("connect", (request, socket) => {
    proxied.push(`CONNECT ${request.url}`);
    socket.on("error", () => {});
    // Whatever is asked for, the server is reached, in clear.
    const through = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      through.pipe(socket).pipe(through);
    });
    through.on("error", () => socket.destroy());
  });
  for (const listener of [server, proxy])
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});

afterAll(() => {
  for (const listener of [server, proxy]) {
    listener.closeAllConnections();
    listener.close();
  }
  removeFolder(folder);
});

/** Runs each of the flows with the URL; gives what each returned: the answer, or the error's code. */
async function reach(
  settings: Record<string, string>,
  url: string,
  flowNames: readonly string[] = ways,
  change: Partial<RunChange> = {},
): Promise<Record<string, unknown>> {
  const runner = startRunner(folder, settings);
  try {
    const found: Record<string, unknown> = {};
    for (const flowName of flowNames) {
      const body = JSON.stringify({ url });
      const { outcome } = await runFlow(runner, flowName, { body }, { definition, ...change });
      found[flowName] = outcome.error ?? outcome.result?.data;
    }
    return found;
  } finally {
    await runner.stop();
  }
}

const all = (flowNames: readonly string[], what: unknown) =>
  Object.fromEntries(flowNames.map((flowName) => [flowName, what]));

describe("with SWITCHYARD_OUTBOUND=public", () => {
  const settings = { SWITCHYARD_OUTBOUND: "public" };

  test("nothing that flows connect with reaches a private address, by its number or by a name", async () => {
    for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"])
      expect(await reach(settings, `http://${host}:${port}`)).toEqual(all(ways, "EOUTBOUND"));
  });

  test("the run's log says what was refused", async () => {
    const runner = startRunner(folder, settings);
    try {
      const { logs }: Recorded = await runFlow(
        runner,
        "Fetch",
        { body: JSON.stringify({ url: `http://localhost:${port}` }) },
        { definition },
      );
      expect(logs.map(({ message }) => message)).toEqual([
        expect.stringMatching(
          /^Flow code may not connect to localhost \(.*127\.0\.0\.1.*\): see SWITCHYARD_OUTBOUND/,
        ),
      ]);
    } finally {
      await runner.stop();
    }
  });

  test("what is on the list is within reach, by range and by name", async () => {
    const http = ["Fetch", "Http", "Spectral Client", "Net"];
    for (const [allowed, host] of [
      ["127.0.0.0/8", "127.0.0.1"],
      ["127.0.0.0/8,::1", "localhost"],
      ["LocalHost", "localhost"],
    ]) {
      const given = { ...settings, SWITCHYARD_OUTBOUND_ALLOW: allowed! };
      expect(await reach(given, `http://${host}:${port}`, http)).toEqual(all(http, "pong"));
    }
    const other = { ...settings, SWITCHYARD_OUTBOUND_ALLOW: "10.0.0.0/8" };
    expect(await reach(other, `http://127.0.0.1:${port}`, http)).toEqual(all(http, "EOUTBOUND"));
  });

  test("webhook URLs of the data plane stay within reach", async () => {
    const url = `http://127.0.0.1:${port}`;
    const http = ["Fetch", "Http", "Spectral Client"];
    expect(await reach(settings, url, http, { ingressUrl: url })).toEqual(all(http, "pong"));
  });
});

test("with SWITCHYARD_OUTBOUND=listed a public address is refused too, and by default nothing is", async () => {
  const listed = { SWITCHYARD_OUTBOUND: "listed", SWITCHYARD_OUTBOUND_ALLOW: "127.0.0.1" };
  expect(await reach(listed, "http://192.0.2.1:4009", ["Fetch", "Net"])).toEqual(
    all(["Fetch", "Net"], "EOUTBOUND"),
  );
  expect(await reach(listed, "http://8.8.8.8:4009", ["Fetch", "Net"])).toEqual(
    all(["Fetch", "Net"], "EOUTBOUND"),
  );
  expect(await reach(listed, `http://127.0.0.1:${port}`, ["Fetch"])).toEqual({ Fetch: "pong" });
  expect(await reach({}, `http://127.0.0.1:${port}`, ["Fetch", "Net"])).toEqual(
    all(["Fetch", "Net"], "pong"),
  );
});

describe("with a proxy", () => {
  const settings = () => ({
    SWITCHYARD_OUTBOUND_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
  });
  const http = ["Fetch", "Http", "Spectral Client"];

  test("HTTP requests go through it, but not those to the data plane itself", async () => {
    proxied = [];
    const own = `http://127.0.0.1:${port}`;
    const found = await reach(settings(), "http://shop.test/orders", http, { ingressUrl: own });
    for (const answer of Object.values(found)) expect(["by proxy", "pong"]).toContain(answer);
    expect(proxied.length).toBe(http.length);
    for (const line of proxied) expect(line).toContain("shop.test");
    proxied = [];
    expect(await reach(settings(), own, http, { ingressUrl: own })).toEqual(all(http, "pong"));
    expect(proxied).toEqual([]);
  });

  test("HTTPS requests are tunneled, and a proxy's refusal fails them", async () => {
    proxied = [];
    await reach(settings(), "https://shop.test/orders", ["Fetch", "Https"]);
    expect(proxied).toEqual(["CONNECT shop.test:443", "CONNECT shop.test:443"]);
  });

  test("addresses that may not be reached are refused before it is asked", async () => {
    proxied = [];
    const strict = { ...settings(), SWITCHYARD_OUTBOUND: "public" };
    expect(await reach(strict, "http://169.254.169.254/latest", http)).toEqual(all(http, "EOUTBOUND"));
    const listed = { ...settings(), SWITCHYARD_OUTBOUND: "listed", SWITCHYARD_OUTBOUND_ALLOW: "*.shop.test" };
    expect(await reach(listed, "http://else.test/", http)).toEqual(all(http, "EOUTBOUND"));
    expect(proxied).toEqual([]);
    await reach(listed, "http://api.shop.test/", http);
    expect(proxied.length).toBe(http.length);
  });
});

test("settings that can't be meant are refused with a sentence", () => {
  const read = (environment: Record<string, string>) => () => checkOutbound(readConfig(environment).outbound);
  expect(read({ SWITCHYARD_OUTBOUND: "none" })).toThrow("SWITCHYARD_OUTBOUND must be one of");
  expect(read({ SWITCHYARD_OUTBOUND_ALLOW: "http://x" })).toThrow('but has "http://x"');
  expect(read({ SWITCHYARD_OUTBOUND_PROXY: "proxy:3128" })).toThrow("SWITCHYARD_OUTBOUND_PROXY must be");
  expect(read({ SWITCHYARD_OUTBOUND_ALLOW: "*.a.test, 10.0.0.0/8,::1,erp_1.internal" })).not.toThrow();
});

const source = `
  import dgram from "node:dgram";
  import dns from "node:dns";
  import http from "node:http";
  import http2 from "node:http2";
  import https from "node:https";
  import net from "node:net";
  import tls from "node:tls";
  import { flow, integration } from "@prismatic-io/spectral";
  import { createClient } from "@prismatic-io/spectral/dist/clients/http";
  const request = (module, url, options = {}) => new Promise((resolve, reject) => module.get(url, options, (response) => {
    let text = "";
    response.on("data", (chunk) => { text += chunk; });
    response.on("end", () => resolve(text));
  }).on("error", reject));
  const partsOf = (url) => { const { hostname, port } = new URL(url); return { host: hostname.replace(/^\\[|\\]$/g, ""), port: Number(port) }; };
  const flows = {
    "Fetch": async (url) => (await fetch(url)).text(),
    "Http": (url) => request(http, url),
    "Https": (url) => request(https, url.replace("http:", "https:")),
    "Spectral Client": async (url) => (await createClient({ baseUrl: url }).get("")).data,
    "Net": (url) => new Promise((resolve, reject) => {
      const { host, port } = partsOf(url);
      const socket = net.connect(port, host, () => { socket.destroy(); resolve("pong"); }).on("error", reject);
    }),
    "Tls": (url) => new Promise((resolve, reject) => { tls.connect(partsOf(url)).on("secureConnect", resolve).on("error", reject); }),
    "Http2": (url) => new Promise((resolve, reject) => { http2.connect(url).on("connect", resolve).on("error", reject); }),
    "Datagram": (url) => new Promise((resolve, reject) => {
      const { host, port } = partsOf(url);
      const socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
      socket.on("error", reject);
      socket.send("ping", port, host, (error) => { socket.close(); error ? reject(error) : resolve("sent"); });
    }),
    "Unix Socket": () => new Promise((resolve, reject) => { net.connect("/run/any.sock").on("connect", resolve).on("error", reject); }),
    "Own Lookup": (url) => request(http, "http://example.com:" + new URL(url).port, {
      lookup: (_host, options, done) => options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4),
    }),
  };
  const codeOf = (error) => error.code ?? error.cause?.code ?? error.errors?.[0]?.code ?? String(error);
  export default integration({
    name: "Outbound", description: "", version: "1.0.0",
    flows: Object.entries(flows).map(([name, perform]) => flow({
      name, stableKey: name.toLowerCase().replaceAll(" ", "-"), description: "",
      onExecution: async (_context, params) => {
        try { return { data: await perform(params.onTrigger.results.body.data.url) }; }
        catch (error) { return { data: codeOf(error) }; }
      },
    })),
  });
`;
