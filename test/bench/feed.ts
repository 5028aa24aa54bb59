/**
 * The feed: from the answer to a mutation that makes a key until the data plane takes it, at rest and under full
 * load; and a snapshot of everything, applied while webhooks are served.
 */
import { join } from "node:path";
import Database from "better-sqlite3";
import { newSecret } from "../../shared/ids.ts";
import { openSqlite } from "../../shared/sqlite.ts";
import { graphql } from "../support/graphql.ts";
import { sendOpenLoop } from "./openLoop.ts";
import { percentileOf, spreadOf } from "./statistics.ts";
import { ms, textTable, whole } from "./table.ts";
import type { World } from "./world.ts";

export interface FeedFigures {
  atRest: Latency;
  underLoad: Latency;
  snapshot: {
    endpoints: number;
    /** From the control plane's new life until the data plane served the new epoch. */
    seconds: number;
    isApplied: boolean;
    /** p99 of slices of load before it, the median; and the worst slice until it was applied. */
    usualP99Us: number;
    worstP99Us: number;
    /** Answers of 400 and above while it was applied. */
    notOk: number;
    /** Requests a second meanwhile; null: as many as 64 connections got answered. */
    perSecond: number | null;
  };
}

export interface Latency {
  changes: number;
  fromAnswerP50Us: number;
  fromAnswerP99Us: number;
  fromRequestP50Us: number;
  fromRequestP99Us: number;
}

const changesAtRest = 150;
const loadSeconds = 15;
const loadConnections = 64;
const sliceSeconds = 2;
const usualSlices = 4;
/**
 * With more endpoints it takes minutes, in which full load would leave gigabytes that nobody has run: they are
 * served at a rate that is sustained.
 */
const fullLoadEndpointsMost = 200_000;
const pollMs = 2;
const changeLimitMs = 10_000;

export async function measureFeed(world: World): Promise<FeedFigures> {
  const { data, held, load, requests } = world;
  // Both would have to serve a change before its mutation is answered; only one is measured.
  await held.stop();
  await data.stop();
  // Each look with a key that is not there yet is a wrong key.
  await data.start({ SWITCHYARD_WRONG_KEYS_PER_MINUTE: "1000000" });
  const configs = await flowConfigs(world);
  const atRest = await changeKeys(world, configs, ({ changes }) => changes < changesAtRest);
  let isLoaded = true;
  const sending = load(data.url, requests.body, loadConnections, loadSeconds).finally(() => {
    isLoaded = false;
  });
  const underLoad = await changeKeys(world, configs, () => isLoaded);
  await sending;
  await data.startAnew();
  return { atRest, underLoad, snapshot: await measureSnapshot(world) };
}

interface Config {
  id: string;
  url: string;
}

async function flowConfigs({ control: { api }, data, seeded }: World): Promise<Config[]> {
  const configs: Config[] = [];
  for (const { instanceId, target } of seeded.samples) {
    const document = "query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { id } } } }";
    const { instance } = await graphql(api.url, api.token, document, { id: instanceId });
    configs.push({ id: instance.flowConfigs.nodes[0].id, url: data.url + target.path });
  }
  return configs;
}

async function changeKeys(
  { control: { api } }: World,
  configs: Config[],
  goesOn: (so: { changes: number }) => boolean,
): Promise<Latency> {
  const fromAnswer: number[] = [];
  const fromRequest: number[] = [];
  const document =
    "mutation ($id: ID!, $key: String!) { createApiKey(input: { flowConfig: $id, key: $key }) { errors { messages } } }";
  while (goesOn({ changes: fromAnswer.length })) {
    const config = configs[fromAnswer.length % configs.length]!;
    const key = newSecret("swk_");
    const startMs = performance.now();
    const answered = graphql(api.url, api.token, document, { id: config.id, key }).then(() =>
      performance.now(),
    );
    const [answeredMs, servedMs] = await Promise.all([answered, untilTaken(config.url, key)]);
    // It may be served before the mutation is answered: then its sender waits for nothing more.
    fromAnswer.push(Math.max(0, servedMs - answeredMs) * 1000);
    fromRequest.push((servedMs - startMs) * 1000);
  }
  fromAnswer.sort((a, b) => a - b);
  fromRequest.sort((a, b) => a - b);
  return {
    changes: fromAnswer.length,
    fromAnswerP50Us: percentileOf(fromAnswer, 50),
    fromAnswerP99Us: percentileOf(fromAnswer, 99),
    fromRequestP50Us: percentileOf(fromRequest, 50),
    fromRequestP99Us: percentileOf(fromRequest, 99),
  };
}

/** The moment when the first request was sent that the key opened the flow to. */
async function untilTaken(url: string, key: string): Promise<number> {
  const deadline = performance.now() + changeLimitMs;
  for (;;) {
    const sentMs = performance.now();
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Api-Key": key },
      body: '{"type":"inventory_update"}',
    });
    await answer.arrayBuffer();
    if (answer.status === 200) return sentMs;
    if (sentMs > deadline)
      throw new Error(`A new key was not taken in ${changeLimitMs} ms: ${answer.status}.`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Another epoch of the control plane's store makes each data plane ask for everything. */
async function measureSnapshot(world: World): Promise<FeedFigures["snapshot"]> {
  const { control, data, seeded } = world;
  const { slice, limitMs, perSecond } =
    seeded.body.length > fullLoadEndpointsMost ? steadyLoad(world) : fullLoad(world);
  await slice();
  const usual: number[] = [];
  for (let index = 0; index < usualSlices; index++) usual.push((await slice()).p99Us);
  await data.startAnew();
  await control.plane.stop();
  const epoch = changeEpoch(control.dataDir);
  await control.plane.start();
  const startMs = Date.now();
  let [isApplied, worstP99Us, notOk] = [false, 0, 0];
  while (!isApplied && Date.now() - startMs < limitMs) {
    const result = await slice();
    worstP99Us = Math.max(worstP99Us, result.p99Us);
    notOk += result.notOk;
    isApplied = isServed(control.dataDir, epoch);
  }
  const seconds = (Date.now() - startMs) / 1000;
  await data.startAnew();
  return {
    endpoints: seeded.body.length,
    seconds,
    isApplied,
    usualP99Us: spreadOf(usual).median,
    worstP99Us,
    notOk,
    perSecond,
  };
}

interface SlicedLoad {
  slice(): Promise<{ p99Us: number; notOk: number }>;
  limitMs: number;
  /** Null: as many as get answered. */
  perSecond: number | null;
}

const fullLoad = ({ data, load, requests }: World): SlicedLoad => ({
  slice: () => load(data.url, requests.body, loadConnections, sliceSeconds),
  limitMs: 180_000,
  perSecond: null,
});

const steadyPerSecond = 500;
/** 5,000 requests: the p99 of fewer is one or two hiccups of the machine. */
const steadySliceSeconds = 10;
const steadyLoad = ({ data, requests }: World): SlicedLoad => ({
  async slice() {
    const { accepted, refused, other } = await sendOpenLoop({
      url: data.url,
      ...requests.body,
      perSecond: steadyPerSecond,
      seconds: steadySliceSeconds,
      connections: loadConnections,
    });
    return { p99Us: accepted.p99Us, notOk: refused.count + other };
  },
  limitMs: 900_000,
  perSecond: steadyPerSecond,
});

const configFile = (dataDir: string): string => join(dataDir, "control", "config.db");

function changeEpoch(dataDir: string): string {
  const epoch = `bench-${Date.now()}`;
  const database = openSqlite(configFile(dataDir), { synchronous: "full" });
  database.prepare("UPDATE meta SET value = ? WHERE key = 'epoch'").run(epoch);
  database.close();
  return epoch;
}

/** Whether a data plane has said that it serves this epoch. */
function isServed(dataDir: string, epoch: string): boolean {
  const database = new Database(configFile(dataDir), { readonly: true });
  try {
    return (
      database.prepare("SELECT 1 FROM dataPlanes WHERE servedEpoch = ? LIMIT 1").get(epoch) !== undefined
    );
  } finally {
    database.close();
  }
}

export function feedText({ atRest, underLoad, snapshot }: FeedFigures): string {
  const cells = (name: string, latency: Latency): string[] => [
    name,
    whole(latency.changes),
    ms(latency.fromAnswerP50Us),
    ms(latency.fromAnswerP99Us),
    ms(latency.fromRequestP50Us),
    ms(latency.fromRequestP99Us),
  ];
  const { endpoints, seconds, isApplied, usualP99Us, worstP99Us, notOk, perSecond } = snapshot;
  const load = perSecond === null ? "full load" : `${whole(perSecond)} requests a second`;
  return [
    textTable(
      ["Feed", "changes", "from answer p50", "p99", "from request p50", "p99"],
      [cells("at rest", atRest), cells("under full load", underLoad)],
    ),
    `Snapshot of ${whole(endpoints)} endpoints while serving ${load}: ${isApplied ? "applied" : "NOT applied"} after ${seconds.toFixed(1)} s; ` +
      `p99 usual ${ms(usualP99Us)}, worst slice ${ms(worstP99Us)}; ${whole(notOk)} answers of 400 and above`,
  ].join("\n");
}
