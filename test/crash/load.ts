/** Senders that post soon after they are answered, and go on over every failure. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../support/random.ts";
import { sendWebhook, type WebhookAnswer } from "../support/sendWebhook.ts";
import type { Expectation, Shot } from "./site.ts";

/** An answer that promises a record. */
export interface Promised {
  /** The execution's node id, or the request id of a refusal that was kept. */
  id: string;
  expectation: Expectation;
}

export interface Load {
  promised: Promised[];
  /** Codes of the answers that said to try again later. */
  refused: string[];
  /** Answers that should never come, as sentences. */
  surprises: string[];
  sent(): number;
  /** Sends one more beside the others. */
  fire(shot: Shot): void;
  /** No further shots; resolves when the last answer is there. */
  stop(): Promise<void>;
}

export interface LoadOptions {
  senders: number;
  shotsMax: number;
  nextShot(random: Random): Shot;
  random: Random;
  /** How long each sender waits after an answer. */
  pauseMs?: number;
}

/** A load that goes on beside a fault, and leaves the machine to what is looked at. */
export const unhurriedMs = 15;

const answerTimeoutMs = 20_000;
const pauseAfterFailureMs = 25;

/** 503 as DESIGN section 7 has it: a code of the catalogue, and when to try again. */
export const isHonestRefusal = (answer: WebhookAnswer): boolean =>
  answer.status === 503 &&
  Number(answer.headers.get("retry-after")) > 0 &&
  typeof answer.json?.error?.code === "string";

export function startLoad({ senders, shotsMax, nextShot, random, pauseMs = 4 }: LoadOptions): Load {
  const promised: Promised[] = [];
  const refused: string[] = [];
  const surprises: string[] = [];
  const extra: Promise<unknown>[] = [];
  let sent = 0;
  let isStopped = false;

  /** False where nothing came back, or only that there is no room now. */
  const send = async (shot: Shot): Promise<boolean> => {
    sent++;
    try {
      const answer = await sendWebhook(shot.url, { ...shot, timeoutMs: answerTimeoutMs });
      const expectation = shot.answers[answer.status];
      const id =
        expectation?.kind === "rejection" ? answer.json?.error?.requestId : (answer.executionId ?? undefined);
      if (expectation !== undefined && id !== undefined) promised.push({ id, expectation });
      else if (isHonestRefusal(answer)) refused.push(answer.json.error.code);
      else surprises.push(`${shot.url}: ${answer.status} ${answer.text}`);
      return answer.status !== 503;
    } catch {
      return false;
    }
  };
  const sender = async () => {
    while (!isStopped && sent < shotsMax)
      await sleep((await send(nextShot(random))) ? pauseMs : pauseAfterFailureMs);
  };
  const running = Promise.all(Array.from({ length: senders }, sender));
  return {
    promised,
    refused,
    surprises,
    sent: () => sent,
    fire(shot) {
      extra.push(send(shot));
    },
    async stop() {
      isStopped = true;
      await running;
      await Promise.all(extra);
    },
  };
}
