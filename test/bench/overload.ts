/**
 * Four times what the system sustains, by a sender that does not slow down: the journal fills to its bound, and
 * from then on what is too much must be refused at once, while what is accepted is answered as quickly as ever.
 */
import { measureCapacity } from "./capacity.ts";
import { type OpenLoopResult, sendOpenLoop } from "./openLoop.ts";
import { ms, textTable, whole } from "./table.ts";
import type { World } from "./world.ts";

export interface OverloadFigures {
  /** Whole runs a second. */
  capacity: number;
  /** At half of it. */
  normal: OpenLoopResult;
  /** At four times it. */
  overload: OpenLoopResult;
  /** What the sender managed of the four times. */
  offered: number;
}

const overloadTimes = 4;
const seconds = 10;
const connections = 256;
/** The journal's bound in seconds of capacity, so that it is reached early. */
const journalSeconds = 2;

export async function measureOverload(world: World): Promise<OverloadFigures> {
  const { data, requests } = world;
  const capacity = await measureCapacity(world);
  await data.stop();
  await data.start({
    SWITCHYARD_JOURNAL_ENTRIES_MAX: String(Math.max(1000, Math.round(capacity * journalSeconds))),
  });
  const sendAt = (perSecond: number): Promise<OpenLoopResult> =>
    sendOpenLoop({ url: data.url, ...requests.body, perSecond, seconds, connections });
  await sendAt(capacity / 2); // Warm-up.
  const normal = await sendAt(capacity / 2);
  const overload = await sendAt(capacity * overloadTimes);
  await data.startAnew();
  return { capacity, normal, overload, offered: overload.sent / seconds / capacity };
}

export function overloadText({ capacity, normal, overload, offered }: OverloadFigures): string {
  const cells = (name: string, result: OpenLoopResult): string[] => [
    name,
    whole(result.sent / seconds),
    whole(result.accepted.count / seconds),
    ms(result.accepted.p50Us),
    ms(result.accepted.p99Us),
    whole(result.refused.count / seconds),
    ms(result.refused.p99Us),
    whole(result.other),
    ms(result.lateP99Us),
  ];
  return [
    `Overload. Sustained: ${whole(capacity)} whole runs a second; the sender offered ${offered.toFixed(1)} times that.`,
    textTable(
      ["", "sent/s", "200/s", "p50", "p99", "503+429/s", "p99", "other", "sent late p99"],
      [cells("half", normal), cells("four times", overload)],
    ),
  ].join("\n");
}
