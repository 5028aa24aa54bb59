/** The feed's pages as the control plane cuts them, and its pokes, with a data plane played by hand. */
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import pino from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectControlPlane } from "../data-plane/controlPlane.ts";
import { startFeedClient } from "../data-plane/feedClient.ts";
import { openReplicaWriter } from "../data-plane/replica/writer.ts";
import type { FeedChange, FeedPage } from "../shared/feed.ts";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

let plane: TestControlPlane;

const definitionOf = (name: string, description = ""): string => `
definitionVersion: 7
name: ${name}
description: "${description}"
flows:
  - name: Main
    stableKey: main
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
`;

async function importOne(name: string, description?: string): Promise<void> {
  const { importIntegration } = await plane.api(
    `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) { errors { messages } } }`,
    { definition: definitionOf(name, description) },
  );
  expect(importIntegration.errors).toEqual([]);
}

beforeAll(async () => {
  plane = await testControlPlane();
  for (let index = 0; index < 40; index++) await importOne(`Paged ${index}`);
});
afterAll(() => plane?.stop());

async function page(epoch: string, since: number, first: number): Promise<FeedPage> {
  const { feedChanges } = await plane.as(
    plane.dataPlaneToken,
    `query ($epoch: String!, $since: Float!, $first: Int!) { feedChanges(epoch: $epoch, since: $since, first: $first) }`,
    { epoch, since, first },
  );
  return feedChanges;
}

/** Everything there is, in pages as long as asked for or shorter. */
async function snapshot(first: number): Promise<{ changes: FeedChange[]; version: number; pages: number }> {
  const changes: FeedChange[] = [];
  let [epoch, version, pages] = ["", 0, 0];
  for (;;) {
    const next = await page(epoch, version, first);
    expect(next.changes.length).toBeGreaterThan(0);
    expect(next.changes.length).toBeLessThanOrEqual(first);
    changes.push(...next.changes);
    pages += 1;
    ({ epoch, version } = next);
    if (!next.hasMore) return { changes, version, pages };
  }
}

test("a snapshot is the same whole, however its pages are cut", async () => {
  const large = await snapshot(1000);
  // Settings, and of each import the integration, its definition and its system instance.
  expect(large.changes.length).toBe(1 + 3 * 40);
  for (const first of [2, 7, 50]) {
    const small = await snapshot(first);
    expect(small.pages).toBeGreaterThanOrEqual(Math.floor(large.changes.length / first));
    expect(small).toMatchObject({ changes: large.changes, version: large.version });
  }
});

test("each change pokes those who follow, and what they say that they serve is known", async () => {
  const follow = new AbortController();
  const stream = await fetch(`${plane.url}/api`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "text/event-stream",
      Authorization: `Bearer ${plane.dataPlaneToken}`,
    },
    body: JSON.stringify({
      query: `subscription { feed(dataPlaneId: "dp-poked", name: "poked") { epoch version } }`,
    }),
    signal: follow.signal,
  });
  let text = "";
  const reading = (async () => {
    for await (const chunk of stream.body!.pipeThrough(new TextDecoderStream())) text += chunk;
  })().catch(() => {});
  const versions = (): number[] =>
    [...text.matchAll(/"version":(\d+)/g)].map(([, version]) => Number(version));
  try {
    const [before] = await waitFor(() => (versions().length > 0 ? versions() : null));
    await importOne("Poked");
    await waitFor(() => versions().at(-1)! > before!);
    const { epoch, version } = await page("", 0, 1000).then((first) => ({
      ...first,
      version: versions().at(-1)!,
    }));
    const acknowledge = (served: number) =>
      plane.as(
        plane.dataPlaneToken,
        `mutation ($epoch: String!, $version: Float!) { acknowledgeFeed(input: { dataPlaneId: "dp-poked", name: "poked", epoch: $epoch, version: $version }) { errors { messages } } }`,
        { epoch, version: served },
      );
    await acknowledge(version - 1);
    await acknowledge(version);
    const metrics = await (await fetch(`${plane.url}/metrics`)).text();
    expect(metrics).toContain(`switchyard_control_feed_acknowledged_version{data_plane="poked"} ${version}`);
  } finally {
    follow.abort();
    await reading;
  }
});

/** Between a data plane and the control plane: cuts the connections of some questions instead of passing them on. */
async function cutting(isCut: (body: string) => boolean): Promise<{ url: string; stop(): void }> {
  const pass = async (incoming: IncomingMessage, body: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const { method, headers, url } = incoming;
      request(`${plane.url}${url}`, { method: method!, headers }, resolve).once("error", reject).end(body);
    });
  const server = createServer(async (incoming, answer) => {
    const body = await text(incoming);
    if (isCut(body)) {
      incoming.socket.destroy();
      return;
    }
    const passed = await pass(incoming, body);
    answer.writeHead(passed.statusCode!, passed.headers);
    passed.pipe(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test("a snapshot goes on where one of its pages got no answer", async () => {
  const longest = "d".repeat(1_000_000);
  for (let index = 0; index < 6; index++) await importOne(`Long ${index}`, longest);
  const asked: number[] = [];
  const proxy = await cutting((body) => {
    if (!body.includes("query feedChanges")) return false;
    asked.push(JSON.parse(body).variables.since);
    return asked.length === 2;
  });
  const folder = newTemporaryFolder();
  const replica = openReplicaWriter({ folder, warn() {} });
  const client = startFeedClient({
    controlPlane: connectControlPlane({
      url: proxy.url,
      token: () => plane.dataPlaneToken,
      dataPlaneId: "dp-cut",
      name: "cut",
      ingressUrl: () => "http://127.0.0.1",
    }),
    replica,
    logger: pino({ level: "silent" }),
    onApplied: async () => {},
    onCurrent() {},
    maxStalenessSeconds: 0,
    onCommands() {},
    onFatal(error) {
      throw error;
    },
  });
  try {
    await waitFor(() => replica.state().version > 0, 20_000);
    expect(asked.length).toBeGreaterThan(2);
    expect(asked.filter((since) => since === 0)).toHaveLength(1);
    expect(asked[2]).toBe(asked[1]);
  } finally {
    client.stop();
    proxy.stop();
    replica.close();
    removeFolder(folder);
  }
});
