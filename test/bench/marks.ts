/** The marks that the ingress path is held to, each with its figure in this run. */
import type { ContenderId } from "./contenders/contender.ts";
import type { DiskLatency } from "./disk.ts";
import type { FeedFigures } from "./feed.ts";
import type { OverloadFigures } from "./overload.ts";
import type { Row } from "./rounds.ts";
import type { SoakFigures } from "./soak.ts";
import { megabytes, ms } from "./table.ts";

export interface Mark {
  text: string;
  figure: string;
  holds: "yes" | "no" | "not measured";
}

export interface Findings {
  disk: DiskLatency;
  rows: readonly Row[];
  feed: FeedFigures | null;
  overload: OverloadFigures | null;
  soak: SoakFigures | null;
}

const markConnections = 64;
/** What counts as no CPU at all: less than this share of a core, by both planes together. */
const idleCpuMost = 0.005;
/** Memory is flat where the last half of the soak adds less than this share of it. */
const growthMost = 0.05;
/** Below this the sender did not offer the overload that was asked of it. */
const offeredLeast = 3.8;

const notMeasured = (text: string): Mark => ({ text, figure: "–", holds: "not measured" });
/** What it is compared with was held up by something else, so the comparison says nothing. */
const notCounted = (text: string, figure: string, { name }: Row): Mark => ({
  text,
  figure: `${figure} (${name} not 95 % busy)`,
  holds: "not measured",
});
const mark = (text: string, holds: boolean, figure: string): Mark => ({
  text,
  figure,
  holds: holds ? "yes" : "no",
});

export const marksOf = (findings: Findings): Mark[] => [
  ...acceptMarks(findings),
  ...feedMarks(findings.feed),
  ...soakMarks(findings.soak),
  overloadMark(findings.overload),
];

function acceptMarks({ rows, disk }: Findings): Mark[] {
  const row = (id: ContenderId, connections: number): Row | undefined =>
    rows.find((each) => each.contender === id && each.connections === connections);
  const at = (id: ContenderId) => row(id, markConnections);
  const [raw, accept, running, fastify] = [at("raw"), at("accept"), at("acceptAndRun"), at("fastify")];
  const given = <Each>(text: string, all: (Each | undefined)[], of: (each: Each[]) => Mark): Mark =>
    all.every((each) => each !== undefined) ? of(all as Each[]) : notMeasured(text);
  const ratio = (text: string, [above, below]: [Row | undefined, Row | undefined], least: number): Mark =>
    given(text, [above, below], ([a, b]) => {
      const value = a!.perSecond.median / b!.perSecond.median;
      const figure = value.toFixed(3);
      if (!b!.isSaturated) return notCounted(text, figure, b!);
      return mark(
        text,
        value >= least,
        a!.isSaturated ? figure : `${figure} (not 95 % busy: it can do more)`,
      );
    });
  const p99Text = "accept at 64: p99 at most 3 times raw's plus two syncs' p99";
  const p99 = given(p99Text, [accept, raw], ([a, b]) => {
    const most = 3 * b!.p99Us.median + 2 * disk.overwriteP99Us;
    const figure = `${ms(a!.p99Us.median)} of ${ms(most)}`;
    if (!b!.isSaturated) return notCounted(p99Text, figure, b!);
    return mark(p99Text, a!.p99Us.median <= most, figure);
  });
  const p50 = (connections: number): Mark => {
    const text = `accept at ${connections}: p50 at most one sync plus 0.3 ms`;
    return given(text, [row("accept", connections)], ([a]) => {
      const most = disk.overwriteP50Us + 300;
      return mark(text, a!.p50Us.median <= most, `${ms(a!.p50Us.median)} of ${ms(most)}`);
    });
  };
  const cpuText = "accept at 64: CPU of the ingress thread at most 2.5 times raw's a request";
  const cpu = given(cpuText, [accept, raw], ([a, b]) => {
    const value = a!.threadUs.median / b!.threadUs.median;
    return mark(cpuText, value <= 2.5, value.toFixed(2));
  });
  const wholeText = "whole run of a no-op flow at least 0.12 of raw (aim 0.2)";
  const wholeRun = given(wholeText, [running, raw], ([a, b]) => {
    const perSecond = a!.switchyard?.wholeRunsPerSecond ?? null;
    if (perSecond === null) return notMeasured(wholeText);
    const value = perSecond / b!.perSecond.median;
    if (!b!.isSaturated) return notCounted(wholeText, value.toFixed(3), b!);
    return mark(wholeText, value >= 0.12, value.toFixed(3));
  });
  const countText = "200s ≤ executions recorded ≤ 200s + connections, wherever it was counted";
  const counts = rows.flatMap(({ switchyard }) => switchyard?.count ?? []);
  const wrong = counts.filter(({ holds }) => !holds).length;
  return [
    ratio("accept at 64 connections: at least 0.30 of raw (aim 0.45)", [accept, raw], 0.3),
    ratio("accept at 64: at least 2.5 times Fastify by hand (aim 4)", [accept, fastify], 2.5),
    ratio("the same with runs beside it: at least 0.30 of raw", [running, raw], 0.3),
    p99,
    p50(1),
    p50(16),
    cpu,
    wholeRun,
    counts.length === 0
      ? notMeasured(countText)
      : mark(countText, wrong === 0, `${counts.length - wrong} of ${counts.length}`),
  ];
}

function feedMarks(feed: FeedFigures | null): Mark[] {
  const rest = "feed at rest: p99 under 50 ms from a mutation's answer to its being served";
  const loaded = "feed at full load: p99 under 250 ms from the answer";
  const stricter = (text: string): string =>
    text.replace(/(from a mutation's|from the) answer/, "from the request");
  const texts = [rest, stricter(rest), loaded, stricter(loaded)];
  const snapshotText = "a snapshot applied without a p99 above 3 times the usual";
  if (feed === null) return [...texts, snapshotText].map(notMeasured);
  const { atRest, underLoad, snapshot } = feed;
  const times = snapshot.worstP99Us / snapshot.usualP99Us;
  const under = (text: string, p99Us: number, mostMs: number): Mark =>
    mark(text, p99Us < mostMs * 1000, ms(p99Us));
  return [
    under(texts[0]!, atRest.fromAnswerP99Us, 50),
    // A mutation waits for the live data planes before it is answered, so this says more.
    under(texts[1]!, atRest.fromRequestP99Us, 50),
    under(texts[2]!, underLoad.fromAnswerP99Us, 250),
    under(texts[3]!, underLoad.fromRequestP99Us, 250),
    mark(
      `${snapshotText} (${snapshot.endpoints.toLocaleString("en")} endpoints)`,
      snapshot.isApplied && times <= 3,
      `${times.toFixed(1)} times`,
    ),
  ];
}

function soakMarks(soak: SoakFigures | null): Mark[] {
  const idle = "an idle system uses no measurable CPU";
  const flat = "memory is flat over the soak at half load";
  if (soak === null) return [idle, flat].map(notMeasured);
  const minutes = soak.seconds / 2 / 60;
  const last = soak.samples.at(-1)!;
  const isFlat =
    soak.dataSlope * minutes < growthMost * last.dataBytes &&
    soak.controlSlope * minutes < growthMost * last.controlBytes;
  return [
    mark(idle, soak.idleCpu < idleCpuMost, `${(soak.idleCpu * 100).toFixed(2)} % of a core`),
    mark(
      `${flat} (${soak.seconds} s)`,
      isFlat,
      `${megabytes(soak.dataSlope)} and ${megabytes(soak.controlSlope)} a minute`,
    ),
  ];
}

function overloadMark(overload: OverloadFigures | null): Mark {
  const text = "at 4 times the capacity: accepted p99 within 5 times the normal, the rest 503 or 429";
  if (overload === null) return notMeasured(text);
  const { normal, overload: over, offered } = overload;
  const times = over.accepted.p99Us / normal.accepted.p99Us;
  const refusedTimes = over.refused.p99Us / normal.accepted.p99Us;
  const figure =
    `accepted ${times.toFixed(1)} times, refused ${refusedTimes.toFixed(1)} times, ${over.other} other answers, ` +
    `at ${offered.toFixed(1)} times the capacity`;
  if (offered < offeredLeast) return { text, figure, holds: "not measured" };
  const isRefusedAtOnce = over.refused.count > 0 && refusedTimes <= 5;
  return mark(text, times <= 5 && over.other === 0 && isRefusedAtOnce, figure);
}
