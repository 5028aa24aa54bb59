/** A replica that is gone or spoilt is made anew from the control plane; until then webhooks are asked to wait. */
import { readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isHonestRefusal, startLoad, unhurriedMs } from "../crash/load.ts";
import { siteOfFile } from "../crash/siteOfFile.ts";
import { verify } from "../crash/verify.ts";
import { removeReplica } from "../crash/victims.ts";
import { seededRandom } from "../support/random.ts";
import { sendWebhook } from "../support/sendWebhook.ts";
import { waitFor } from "../support/waitFor.ts";

const site = siteOfFile();

test.for<[string, (dataDir: string) => void]>([
  ["deleted", removeReplica],
  ["overwritten with something else", spoilReplica],
  ["cut off in the middle", cutReplica],
])(
  "a replica that was %s: 503 until the control plane is there, then all goes on",
  { timeout: 120_000 },
  async ([, harm]) => {
    const { planes } = site;
    const sinceMs = Date.now();
    site.ledger.clear();
    const load = startLoad({
      senders: 6,
      shotsMax: 20_000,
      nextShot: site.shot,
      random: seededRandom(3),
      pauseMs: unhurriedMs,
    });
    // Unfinished when the replica goes: what they ran on must be found again.
    for (let n = 0; n < 5; n++) load.fire(site.lasting(3_000));
    try {
      await waitFor(() => load.promised.length >= 30, 30_000);
      await Promise.all([planes.data.kill(), planes.control.kill()]);
      harm(planes.dataDir);
      planes.data.launch();
      await waitFor(async () => (await fetch(`${planes.data.url}/healthz`)).status === 200, 30_000);
      const { url, body, headers } = site.lasting(1);
      for (let n = 0; n < 5; n++) {
        const answer = await sendWebhook(url, { body, headers });
        expect([answer.status, answer.json?.error?.code]).toEqual([503, "NOT_READY"]);
        expect(isHonestRefusal(answer)).toBe(true);
      }
      expect((await fetch(`${planes.data.url}/readyz`)).status).toBe(503);
      await planes.control.start();
      await waitFor(async () => (await fetch(`${planes.data.url}/readyz`)).status === 200, 30_000);
      const before = load.promised.length;
      await waitFor(() => load.promised.length >= before + 20, 30_000);
    } finally {
      await load.stop();
      if (!planes.control.isRunning()) await planes.control.start();
    }
    expect((await verify(site, load, sinceMs)).faults).toEqual([]);
  },
);

/** The files of the replica, the largest first. */
function replicaFiles(dataDir: string): string[] {
  const data = join(dataDir, "data-plane");
  const files = readdirSync(data, { recursive: true, encoding: "utf8" })
    .filter((name) => name.startsWith("replica"))
    .map((name) => join(data, name))
    .filter((file) => statSync(file).isFile() && statSync(file).size > 0);
  if (files.length === 0) throw new Error(`${data} holds no replica.`);
  return files;
}

function spoilReplica(dataDir: string): void {
  for (const file of replicaFiles(dataDir))
    writeFileSync(file, Buffer.alloc(statSync(file).size, "not what it was "));
}

/** Its log goes too: it would put the missing pages back. */
function cutReplica(dataDir: string): void {
  for (const file of replicaFiles(dataDir))
    truncateSync(file, /-(wal|shm)$/.test(file) ? 0 : Math.ceil(statSync(file).size / 2) - 100);
}
