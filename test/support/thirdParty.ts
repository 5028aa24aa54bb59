/** An app that integrations call: notes what it is told, and answers as a test wants it to. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Told {
  path: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own flows have sent.
  body: any;
}

export interface ThirdParty {
  url: string;
  /** What it was told, the oldest first. */
  told: Told[];
  /** Paths that are answered 500 with this text. */
  failing: Map<string, string>;
  /** Answers wait for this, by path. */
  holding: Map<string, Promise<void>>;
  stop(): Promise<void>;
}

export async function startThirdParty(): Promise<ThirdParty> {
  const told: Told[] = [];
  const failing = new Map<string, string>();
  const holding = new Map<string, Promise<void>>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = (request.url ?? "/").slice(1);
    const text = Buffer.concat(chunks).toString("utf8");
    told.push({ path, body: text === "" ? null : JSON.parse(text) });
    await holding.get(path);
    const failure = failing.get(path);
    response.writeHead(failure === undefined ? 200 : 500, { "content-type": "application/json" });
    response.end(failure ?? JSON.stringify({ id: `webhook-${told.length}` }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    told,
    failing,
    holding,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
