/** The crash rounds: load, a kill at a random moment, a restart, and everything that was promised is there. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newLedger } from "../support/ledger.ts";
import { bootPlanes } from "../support/planes.ts";
import { seededRandom } from "../support/random.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";
import { waitFor } from "../support/waitFor.ts";
import { startLoad } from "./load.ts";
import { openSite, type Site, siteSettings } from "./site.ts";
import { verify } from "./verify.ts";
import { type Victim, type VictimName, victims } from "./victims.ts";

export interface RoundsOptions {
  /** The same seed chooses the same victims' moments again, as far as the machine allows. */
  seed: number;
  /** One round each, in this order. */
  plan: readonly VictimName[];
  /** No further round begins after it. */
  timeoutMs: number;
  onRound?(round: RoundReport): void;
}

export interface RoundReport {
  number: number;
  victim: VictimName;
  /** Repeats this round alone. */
  seed: number;
  promised: number;
  recorded: number;
  reruns: number;
  faults: string[];
}

export interface RoundsSummary {
  rounds: RoundReport[];
  promised: number;
  reruns: number;
  /** Each with its round's victim and seed in front, and the planes' last words behind the first. */
  faults: string[];
}

const senders = 10;
/** So many promises, and the load is under way. */
const underWayAt = 20;
const underWayTimeoutMs = 20_000;
const shotsMax = 900;
const bulkySenders = 3;
const bulkyShotsMax = 900;
/** Enough for the records of the latest rounds, so that hundreds of rounds do not fill the disk. */
const executionBytesMax = 2 * 1024 ** 3;
const logShown = 3_000;

export async function runRounds(options: RoundsOptions): Promise<RoundsSummary> {
  const dataDir = newTemporaryFolder();
  const planes = await bootPlanes({
    dataDir: join(dataDir, "data"),
    environment: { ...siteSettings, SWITCHYARD_EXECUTION_BYTES_MAX: String(executionBytesMax) },
  });
  try {
    const site = await openSite(planes, newLedger(dataDir));
    const rounds: RoundReport[] = [];
    const deadlineMs = Date.now() + options.timeoutMs;
    for (const [index, victim] of options.plan.entries()) {
      if (Date.now() > deadlineMs) break;
      const seed = index === 0 ? options.seed : seedAfter(rounds.at(-1)!.seed);
      const report = { number: index + 1, victim, seed, ...(await runRound(site, victim, seed)) };
      rounds.push(report);
      options.onRound?.(report);
      // What an earlier round left wrong would be found again and again.
      if (report.faults.length > 0) break;
    }
    return summaryOf(
      rounds,
      () => planes.data.log().slice(-logShown) + planes.control.log().slice(-logShown),
    );
  } finally {
    await planes.stop();
    removeFolder(dataDir);
  }
}

async function runRound(site: Site, name: VictimName, seed: number) {
  const random = seededRandom(seed);
  const victim: Victim = victims[name];
  const sinceMs = Date.now();
  site.ledger.clear();
  const load = startLoad({
    senders,
    shotsMax,
    nextShot: site.shot,
    random: seededRandom(random.whole(0, 1e9)),
  });
  const { bulkyBytes } = victim;
  const bulky =
    bulkyBytes !== undefined
      ? startLoad({
          senders: bulkySenders,
          shotsMax: bulkyShotsMax,
          nextShot: (chosen) => site.bulky(chosen.whole(bulkyBytes.least, bulkyBytes.most)),
          random: seededRandom(random.whole(0, 1e9)),
        })
      : null;
  try {
    await waitFor(() => load.promised.length >= underWayAt, underWayTimeoutMs);
    await victim.strike(site, load, random, bulky);
    await sleep(random.whole(0, 300));
  } finally {
    await Promise.all([load.stop(), bulky?.stop()]);
  }
  return verify(site, bulky === null ? load : together(load, bulky), sinceMs);
}

type Fired = ReturnType<typeof startLoad>;

const together = (one: Fired, other: Fired): Fired => ({
  ...one,
  promised: [...one.promised, ...other.promised],
  refused: [...one.refused, ...other.refused],
  surprises: [...one.surprises, ...other.surprises],
  sent: () => one.sent() + other.sent(),
});

const seedAfter = (seed: number): number => seededRandom(seed ^ 0x5eed).whole(1, 2 ** 31);

function summaryOf(rounds: RoundReport[], log: () => string): RoundsSummary {
  const faults = rounds.flatMap(({ victim, seed, faults }) =>
    faults.map((fault) => `${victim}, seed ${seed}: ${fault}`),
  );
  if (faults.length > 0) faults.push(`The planes' logs end with:\n${log()}`);
  return {
    rounds,
    promised: rounds.reduce((sum, { promised }) => sum + promised, 0),
    reruns: rounds.reduce((sum, { reruns }) => sum + reruns, 0),
    faults,
  };
}
