/** A fault under load: before, during and after it, every promise is kept, and nobody has to lend a hand. */
import { expect } from "vitest";
import { isHonestRefusal, type Load, startLoad, unhurriedMs } from "../crash/load.ts";
import { executionsSince } from "../crash/records.ts";
import type { Shot, Site } from "../crash/site.ts";
import { verify } from "../crash/verify.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { sendWebhook, type WebhookAnswer } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

export interface Siege {
  begin(): Promise<void>;
  /** While the fault lasts. */
  during(load: Load): Promise<void>;
  end(): Promise<void>;
  nextShot?(random: Random): Shot;
  /** How far the planes' clocks may be behind this one. */
  clockBehindMs?: number;
}

const senders = 6;
const shotsMax = 50_000;
const enough = 25;
const patienceMs = 45_000;

/** Returns what was promised, for further checks. */
export async function besiege(site: Site, siege: Siege): Promise<Load> {
  const sinceMs = Date.now() - (siege.clockBehindMs ?? 0);
  const pid = site.planes.data.pid();
  const before = await executionsSince(site.planes, site.integrationIds, sinceMs);
  site.ledger.clear();
  const nextShot = siege.nextShot ?? site.shot;
  const load = startLoad({
    senders,
    shotsMax,
    nextShot,
    random: seededRandom(Date.now()),
    pauseMs: unhurriedMs,
  });
  const untilPromised = async (more: number) => {
    const wanted = load.promised.length + more;
    await waitFor(() => load.promised.length >= wanted, patienceMs);
  };
  try {
    await untilPromised(enough);
    try {
      await siege.begin();
      await siege.during(load);
    } finally {
      await siege.end();
    }
    await untilPromised(enough);
  } finally {
    await load.stop();
  }
  const { faults } = await verify(site, load, sinceMs, before.length);
  expect(faults).toEqual([]);
  // The process that met the fault is the one that got over it.
  expect(site.planes.data.pid()).toBe(pid);
  return load;
}

/** Sends until it is refused, then so many more: all must be refused like it, since what is wrong still is. */
export async function expectRefusals(shots: Shot[], code: string): Promise<void> {
  let refused: WebhookAnswer | undefined;
  await waitFor(async () => {
    const answer = await send(shots[0]!);
    if (answer.status === 503) refused = answer;
    return refused;
  }, patienceMs);
  for (const shot of shots) {
    const answer = await send(shot);
    expect([answer.status, answer.json?.error?.code]).toEqual([503, code]);
    expect(isHonestRefusal(answer)).toBe(true);
  }
  expect(refused!.json.error.code).toBe(code);
}

/** Shots of every kind; all of them need the journal. */
export function everyKind(site: Site): Shot[] {
  const random = seededRandom(1);
  return [site.lasting(1), ...Array.from({ length: 20 }, () => site.shot(random))];
}

/** Those that become executions: what is refused and kept is no entry of the journal. */
export const everyExecution = (site: Site): Shot[] =>
  everyKind(site).filter(({ answers }) => Object.values(answers).every(({ kind }) => kind === "execution"));

const send = (shot: Shot): Promise<WebhookAnswer> => sendWebhook(shot.url, shot);
