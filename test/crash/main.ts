/**
 * `npm run test:crash`: the long form. `-- --rounds 300 --minutes 30 --seed 1 --victim dataPlane` (all optional);
 * one round is repeated by its victim, its seed and `--rounds 1`.
 */
import { parseArgs } from "node:util";
import { migrationRounds } from "./migration.ts";
import { type RoundReport, runRounds } from "./rounds.ts";
import { type VictimName, victimNames } from "./victims.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "300" },
    minutes: { type: "string", default: "30" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_007) },
    victim: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const chosen = values.victim;
if (![rounds, minutes, seed].every(Number.isFinite)) fail("--rounds, --minutes and --seed take numbers.");
if (chosen !== undefined && chosen !== "migration" && !victimNames.includes(chosen as VictimName))
  fail(`--victim takes one of ${[...victimNames, "migration"].join(", ")}.`);

// One in ten rounds is a migration's, which has planes of its own.
const migrationCount = chosen === "migration" ? rounds : chosen === undefined ? Math.ceil(rounds / 10) : 0;
const plan = Array.from(
  { length: rounds - migrationCount },
  (_, index) => (chosen as VictimName | undefined) ?? victimNames[index % victimNames.length]!,
);

console.log(`${rounds} rounds, at most ${minutes} minutes, seed ${seed}`);
const beganMs = Date.now();
const totals = { rounds: 0, promised: 0, reruns: 0, faults: [] as string[] };
const onRound = ({ number, victim, ...round }: Omit<RoundReport, "victim"> & { victim: string }) => {
  totals.rounds++;
  totals.promised += round.promised;
  totals.reruns += round.reruns;
  const verdict = round.faults.length === 0 ? "ok" : `LOST: ${round.faults.join("; ")}`;
  console.log(
    `${number}. ${victim} (seed ${round.seed}): ${round.promised} promised, ${round.recorded} recorded, ${round.reruns} re-runs: ${verdict}`,
  );
};
const timeoutMs = () => minutes * 60_000 - (Date.now() - beganMs);
if (migrationCount > 0) {
  const share = chosen === "migration" ? 1 : 0.2;
  totals.faults.push(
    ...(await migrationRounds({ rounds: migrationCount, seed, timeoutMs: timeoutMs() * share, onRound }))
      .faults,
  );
}
if (plan.length > 0)
  totals.faults.push(...(await runRounds({ seed, plan, timeoutMs: timeoutMs(), onRound })).faults);
const minutesTaken = ((Date.now() - beganMs) / 60_000).toFixed(1);
console.log(
  `${totals.rounds} of ${rounds} rounds in ${minutesTaken} minutes: ${totals.promised} webhooks promised, ${totals.reruns} re-runs counted, ${
    totals.faults.length === 0 ? "nothing lost" : "SOMETHING IS LOST"
  } (seed ${seed})`,
);
for (const fault of totals.faults) console.error(fault);
process.exit(totals.faults.length === 0 ? 0 : 1);

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
