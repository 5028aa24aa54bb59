/**
 * `node unluckyWriter.ts <folder>`: an ingress log under load on a disk that may fail, until its input ends. It
 * says "accepted <id>" or "refused <id>" of each webhook, and "ended" when the log is closed.
 */
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../shared/ids.ts";
import { accept, metaOf, openPair } from "./journals.ts";

const atOnce = 24;
const say = (...words: string[]) => writeSync(1, `${words.join(" ")}\n`);

const segmentBytes = { least: 1024 * 1024, most: 1024 * 1024 };
const pair = await openPair(process.argv[2]!, {}, { segmentBytes });
let isEnding = false;
process.stdin.on("end", () => {
  isEnding = true;
});
process.stdin.resume();
say("opened");

async function acceptOn(): Promise<void> {
  while (!isEnding) {
    const id = newId();
    const isAccepted = await accept(
      pair,
      Buffer.alloc(Math.floor(Math.random() * 4000), "b"),
      metaOf(id),
    ).then(
      () => true,
      () => false,
    );
    say(isAccepted ? "accepted" : "refused", id);
    if (!isAccepted) await sleep(5);
  }
}
await Promise.all(Array.from({ length: atOnce }, acceptOn));
await pair.close();
say("ended");
