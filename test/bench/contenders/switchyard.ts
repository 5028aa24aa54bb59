/** Switchyard's rows. All but one share a data plane; the one whose runs are held back has its own. */
import type { Api } from "../../../shared/scripts/apiClient.ts";
import { countExecutions, type ExecutionCounts } from "../executionCounts.ts";
import type { LoadResult, Requests } from "../load.ts";
import { type Metrics, readMetrics, rise } from "../metrics.ts";
import type { DataPlane } from "../planes.ts";
import type { Contender, ContenderId, CountCheck, RoundSoFar, SwitchyardFigures } from "./contender.ts";

interface Options {
  id: ContenderId;
  name: string;
  plane: DataPlane;
  api: Api;
  requests: Requests;
}

const pollMs = 250;

export function switchyard({ id, name, plane, api, requests }: Options): Contender {
  let beganMs = 0;
  let before: Metrics | null = null;
  return {
    id,
    name,
    ...requests,
    url: () => plane.url,
    server: () => plane.server(),
    async begin() {
      beganMs = Date.now();
    },
    async warm() {
      before = await readMetrics(plane.url);
    },
    async end(round) {
      const endedMs = Date.now();
      const after = await readMetrics(plane.url);
      const atEnd = await countExecutions(api, beganMs);
      const figures = { ...commitFigures(before, after, round), ...runFigures(atEnd, round) };
      const drained = await untilEnded(api, beganMs, okOf(round.loads), endedMs + round.drainMs);
      if (!drained.isDone) await plane.startAnew();
      return {
        ...figures,
        wholeRunsPerSecond: (drained.counts.ended * 1000) / (drained.atMs - beganMs),
        count: drained.isDone ? checkCount(drained.counts.recorded, round) : null,
      };
    },
    stop: () => plane.stop(),
  };
}

const checkedSeconds = 1;

/** Runs are held back: nothing is run, and each round starts with an empty journal. */
export function switchyardHeld(options: Options): Contender {
  const { plane, api } = options;
  let before: Metrics | null = null;
  return {
    ...switchyard(options),
    begin: async () => {},
    async warm() {
      before = await readMetrics(plane.url);
    },
    async end(round) {
      const after = await readMetrics(plane.url);
      await plane.startAnew();
      // A second's worth of its own: to run all that the warm-up and the measured seconds brought takes minutes.
      let count: CountCheck | null = null;
      if (round.isChecked) {
        const sinceMs = Date.now();
        const loads = [await round.send(checkedSeconds)];
        count = await checkByRunning(plane, api, sinceMs, { ...round, loads });
        await plane.startAnew();
      }
      return {
        ...commitFigures(before, after, round),
        endedPerSecond: null,
        wholeRunsPerSecond: null,
        backlog: null,
        count,
      };
    },
  };
}

/**
 * Ends the data plane the hard way, and lets its next life run what was held back: whatever was answered must
 * have its record then.
 */
async function checkByRunning(
  plane: DataPlane,
  api: Api,
  sinceMs: number,
  round: RoundSoFar,
): Promise<CountCheck | null> {
  await plane.kill();
  await plane.start({ SWITCHYARD_RUN_THREADS: "2" });
  const drained = await untilEnded(api, sinceMs, okOf(round.loads), Date.now() + round.drainMs);
  return drained.isDone ? checkCount(drained.counts.recorded, round) : null;
}

/** Waits until all that was answered has ended in the record, and nothing more comes. */
async function untilEnded(
  api: Api,
  sinceMs: number,
  answered: number,
  deadlineMs: number,
): Promise<{ isDone: boolean; counts: ExecutionCounts; atMs: number }> {
  let last = { counts: { recorded: -1, ended: -1 }, atMs: 0 };
  for (;;) {
    const startMs = Date.now();
    const counts = await countExecutions(api, sinceMs);
    const isSame = counts.recorded === last.counts.recorded && counts.ended === last.counts.ended;
    const isDone = counts.ended >= answered && counts.ended === counts.recorded;
    // What was on its way when the load stopped may come a moment later: one more look decides.
    if (isDone && isSame) return { isDone, ...last };
    if (!isSame) last = { counts, atMs: startMs };
    if (Date.now() > deadlineMs) return { isDone: false, counts, atMs: startMs };
    // Counting takes the control plane's time: a tenth of it at most.
    await new Promise((resolve) => setTimeout(resolve, Math.max(pollMs, 9 * (Date.now() - startMs))));
  }
}

const okOf = (loads: readonly LoadResult[]): number =>
  loads.reduce((sum, { requests, notOk }) => sum + requests - notOk, 0);

/** A load generator drops the answers that are on their way when it stops: one a connection at most. */
function checkCount(recorded: number, { loads, connections }: RoundSoFar): CountCheck {
  const answered = okOf(loads);
  const most = answered + connections * loads.length;
  return { answered, recorded, most, holds: recorded >= answered && recorded <= most };
}

function commitFigures(
  before: Metrics | null,
  after: Metrics | null,
  { loads }: RoundSoFar,
): Pick<SwitchyardFigures, "commitsPerSecond" | "rowsPerCommit"> {
  const commits = rise(before, after, "switchyard_data_journal_commits_total");
  const rows = rise(before, after, "switchyard_data_journal_rows_total");
  return {
    commitsPerSecond: commits === null ? null : commits / loads.at(-1)!.seconds,
    rowsPerCommit: commits === null || rows === null || commits === 0 ? null : rows / commits,
  };
}

function runFigures(
  { ended }: ExecutionCounts,
  { loads }: RoundSoFar,
): Pick<SwitchyardFigures, "endedPerSecond" | "backlog"> {
  const seconds = loads.reduce((sum, load) => sum + load.seconds, 0);
  return { endedPerSecond: ended / seconds, backlog: Math.max(0, okOf(loads) - ended) };
}
