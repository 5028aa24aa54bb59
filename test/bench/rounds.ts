/**
 * Rounds in turn (A B C A B C ...), so that what else the machine does is no contender's own misfortune. Of each
 * round: the load's figures, and what the server used for them.
 */
import type { Contender, ContenderId, SwitchyardFigures } from "./contenders/contender.ts";
import { type LoadResult, sendLoad } from "./load.ts";
import { pinServer } from "./pin.ts";
import { processCpuUs, rssBytes, threadCpuUs } from "./procfs.ts";
import { type Spread, spreadOf } from "./statistics.ts";

export interface RoundsPlan {
  rounds: number;
  connections: readonly number[];
  /** The connections at which the first round waits until all is recorded, and counts it. */
  checkedConnections: number;
  /** How long a round waits for what it accepted to be run and recorded: where it is counted, and elsewhere. */
  drainSeconds: { checked: number; usual: number };
  /** No round begins later than this after the first one. */
  secondsMost: number;
  warmUpSeconds: number;
  /** Of the one that begins each round as a new process, and is to be measured with its endpoints in memory. */
  warmUpRequestsOfAccept: number;
  seconds: number;
  workFolder: string;
  say(text: string): void;
}

export interface RoundResult {
  contender: ContenderId;
  connections: number;
  round: number;
  load: LoadResult;
  perSecond: number;
  /** CPU time of the serving thread, and of its whole process, a request. */
  threadUs: number;
  processUs: number;
  /** How much of its core the serving thread has used: 1 is all of it. */
  busy: number;
  rssBytes: number;
  switchyard: SwitchyardFigures | null;
}

/** A contender at one number of connections, over its rounds. */
export interface Row {
  contender: ContenderId;
  name: string;
  connections: number;
  /** Requests a second, as a share of raw's in the same run; null where raw was not measured. */
  ratio: number | null;
  perSecond: Spread;
  p50Us: Spread;
  p99Us: Spread;
  p999Us: Spread;
  threadUs: Spread;
  processUs: Spread;
  busy: Spread;
  rssBytes: Spread;
  /** Answers of 400 and above, broken connections and late answers, over all rounds. */
  bad: number;
  /** The serving core was at least 95 % busy: only then is the rate the server's own limit. */
  isSaturated: boolean;
  switchyard: SwitchyardFigures | null;
}

const saturatedAt = 0.95;

export async function runRounds(contenders: readonly Contender[], plan: RoundsPlan): Promise<RoundResult[]> {
  const results: RoundResult[] = [];
  const startMs = performance.now();
  for (let round = 1; round <= plan.rounds; round++) {
    for (const connections of plan.connections) {
      if (performance.now() - startMs > plan.secondsMost * 1000) {
        plan.say(`No more rounds: ${plan.secondsMost} s are over.`);
        return results;
      }
      plan.say(`Round ${round} of ${plan.rounds}, ${connections} connections ...`);
      for (const contender of contenders) {
        const isChecked = round === 1 && connections === plan.checkedConnections;
        results.push(await runRound(contender, connections, round, isChecked, plan));
      }
    }
  }
  return results;
}

async function runRound(
  contender: Contender,
  connections: number,
  round: number,
  isChecked: boolean,
  { warmUpSeconds, warmUpRequestsOfAccept, seconds, drainSeconds, workFolder }: RoundsPlan,
): Promise<RoundResult> {
  const { targetsFile, bodyFile } = contender;
  const send = (forSeconds: number, over = connections): Promise<LoadResult> =>
    sendLoad(
      { url: contender.url(), targetsFile, bodyFile, connections: over, seconds: forSeconds },
      workFolder,
    );
  await contender.begin?.();
  const loads = [await send(warmUpSeconds)];
  if (contender.id === "accept") loads.push(...(await warmUpWith(send, warmUpRequestsOfAccept)));
  await contender.warm?.();
  const server = contender.server();
  pinServer(server);
  const before = readUse(server);
  const load = await send(seconds);
  const after = readUse(server);
  const rss = rssBytes(server.pid);
  loads.push(load);
  const drainMs = 1000 * (isChecked ? drainSeconds.checked : drainSeconds.usual);
  const switchyard = (await contender.end?.({ connections, loads, send, isChecked, drainMs })) ?? null;
  return {
    contender: contender.id,
    connections,
    round,
    load,
    perSecond: (load.requests - load.notOk) / load.seconds,
    threadUs: (after.threadUs - before.threadUs) / load.requests,
    processUs: (after.processUs - before.processUs) / load.requests,
    // Of the load's own seconds: the generator's start, when it reads its targets, is not the server's to fill.
    busy: (after.threadUs - before.threadUs) / (load.seconds * 1e6),
    rssBytes: rss,
    switchyard,
  };
}

/** Until it has had so many requests, whatever it is measured with; half a minute at most. */
async function warmUpWith(
  send: (seconds: number, connections: number) => Promise<LoadResult>,
  requests: number,
): Promise<LoadResult[]> {
  const loads: LoadResult[] = [];
  for (let sent = 0; sent < requests && loads.length < warmUpsMost; ) {
    const load = await send(warmUpPartSeconds, warmUpConnections);
    loads.push(load);
    sent += load.requests;
  }
  return loads;
}

const warmUpConnections = 64;
const warmUpPartSeconds = 2;
const warmUpsMost = 15;

const readUse = ({ pid, tid }: { pid: number; tid: number }) => ({
  threadUs: threadCpuUs(pid, tid),
  processUs: processCpuUs(pid),
});

export function rowsOf(contenders: readonly Contender[], results: readonly RoundResult[]): Row[] {
  const connections = [...new Set(results.map((result) => result.connections))];
  return connections.flatMap((count) => {
    const at = results.filter((result) => result.connections === count);
    const raw = medianRate(at.filter(({ contender }) => contender === "raw"));
    return contenders.map((contender) =>
      rowOf(
        contender,
        count,
        at.filter((result) => result.contender === contender.id),
        raw,
      ),
    );
  });
}

function rowOf(
  { id, name }: Contender,
  connections: number,
  results: readonly RoundResult[],
  raw: number | null,
): Row {
  const over = (value: (result: RoundResult) => number): Spread => spreadOf(results.map(value));
  const perSecond = over((result) => result.perSecond);
  const busy = over((result) => result.busy);
  return {
    contender: id,
    name,
    connections,
    ratio: raw === null ? null : perSecond.median / raw,
    perSecond,
    p50Us: over(({ load }) => load.p50Us),
    p99Us: over(({ load }) => load.p99Us),
    p999Us: over(({ load }) => load.p999Us),
    threadUs: over((result) => result.threadUs),
    processUs: over((result) => result.processUs),
    busy,
    rssBytes: over((result) => result.rssBytes),
    bad: results.reduce((sum, { load }) => sum + load.notOk + load.failed + load.timedOut, 0),
    isSaturated: busy.median >= saturatedAt,
    switchyard: switchyardOf(results),
  };
}

const medianRate = (results: readonly RoundResult[]): number | null =>
  results.length === 0 ? null : spreadOf(results.map(({ perSecond }) => perSecond)).median;

/** Medians of the figures; of the checks the one that fails, else any. */
function switchyardOf(results: readonly RoundResult[]): SwitchyardFigures | null {
  const all = results.flatMap(({ switchyard }) => (switchyard === null ? [] : [switchyard]));
  if (all.length === 0) return null;
  const median = (value: (figures: SwitchyardFigures) => number | null): number | null => {
    const values = all.map(value).filter((each) => each !== null);
    return values.length === 0 ? null : spreadOf(values).median;
  };
  const checks = all.flatMap(({ count }) => (count === null ? [] : [count]));
  return {
    commitsPerSecond: median((figures) => figures.commitsPerSecond),
    rowsPerCommit: median((figures) => figures.rowsPerCommit),
    endedPerSecond: median((figures) => figures.endedPerSecond),
    wholeRunsPerSecond: median((figures) => figures.wholeRunsPerSecond),
    backlog: median((figures) => figures.backlog),
    count: checks.find(({ holds }) => !holds) ?? checks.at(-1) ?? null,
  };
}
