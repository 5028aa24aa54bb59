/**
 * `npm run bench:keys`: key checks a second with 1, 100 and 10,000 keys on one flow, beside a bare HMAC, a bare
 * map lookup and what remembering HMACs would take, of the same run. The rounds of all rows take turns, so that
 * what else the machine does is no row's own misfortune. Each row: median, least, most.
 */
import { createHmac } from "node:crypto";
import { cpus } from "node:os";
import { LRUCache } from "lru-cache";
import { createKeyReader, keyRule } from "../../data-plane/authenticate.ts";
import { createKeyChecks } from "../../data-plane/keyChecks.ts";
import { noteKeyUse } from "../../data-plane/keyUse.ts";
import { createWrongKeys } from "../../data-plane/wrongKeys.ts";
import type { Definition, Flow } from "../../shared/definition.ts";
import type { InstanceEntity, IntegrationEntity, KeyEntity } from "../../shared/feed.ts";
import { newId, newSecret } from "../../shared/ids.ts";
import { keyHmac, newPepper } from "../../shared/secrets.ts";

const keyCounts = [1, 100, 10_000];
const rounds = 15;
const roundMs = 150;
const batch = 500;
const wrongKeysPerMinute = 60;

const pepper = newPepper();
const keyUse = noteKeyUse(() => {});
const wrongKeys = createWrongKeys(wrongKeysPerMinute);
const checks = createKeyChecks({ keyUse, wrongKeys, wrongKeysPerMinute });
const reader = createKeyReader(pepper);

interface Row {
  name: string;
  /** Does the work once, for the key at this position. */
  work: (index: number) => void;
  perSecond: number[];
}

const row = (name: string, work: Row["work"]): Row => ({ name, work, perSecond: [] });

const keysOf = (count: number): string[] => Array.from({ length: count }, () => newSecret("swk_"));

/** One flow with these keys, as it is compiled from the feed. */
function flowWith(texts: string[]) {
  const keys: KeyEntity[] = texts.map((text) => ({
    id: newId(),
    hmac: keyHmac(pepper, text),
    sealed: "",
    expiresAtMs: Date.now() + 86_400_000,
    revokedAtMs: null,
  }));
  const flow = { stableKey: "flow", name: "Flow", securityType: "customer_required" } as Flow;
  const definition = { flows: [flow], endpointType: "flow_specific" } as Partial<Definition> as Definition;
  const flows = { flow: { keys } } as unknown as InstanceEntity["flows"];
  const instance = { isSystem: false, flows } as Partial<InstanceEntity> as InstanceEntity;
  const integration = { organizationKeys: {} } as Partial<IntegrationEntity> as IntegrationEntity;
  return { rule: () => keyRule(definition, flow, instance, integration), keys };
}

function check(rule: ReturnType<typeof keyRule>, header: string): void {
  const sender = { keyHmacs: reader.read(header), token: "token", remoteAddress: "192.0.2.1" };
  if (checks.refuse(rule, "Flow", sender, Date.now()) !== null) throw new Error("a valid key was refused");
}

const anyKeys = keysOf(10_000);
const hmacs = anyKeys.map((text) => keyHmac(pepper, text));
/** As many as there are endpoints in the benchmark of the ingress, each with a key of its own. */
const rememberedKeys = keysOf(100_000);
const remembered = new LRUCache<string, string>({ max: rememberedKeys.length });
for (const text of rememberedKeys) remembered.set(text, keyHmac(pepper, text));
/** As a request brings it: a text of its own. */
const sentBytes = rememberedKeys.map((text) => Buffer.from(text, "latin1"));
const map = new Map(hmacs.map((hmac, index) => [hmac, index]));
let sink = 0;

const rows: Row[] = [
  row("bare HMAC-SHA256, base64url", (index) => {
    sink += createHmac("sha256", pepper)
      .update(anyKeys[index % anyKeys.length]!, "utf8")
      .digest("base64url").length;
  }),
  row("bare lookup in a map of 10,000", (index) => {
    sink += map.get(hmacs[index % hmacs.length]!)!;
  }),
];
rows.push(
  row("remembered HMACs of 100,000 keys, at random", () => {
    const sent = sentBytes[Math.floor(Math.random() * sentBytes.length)]!.toString("latin1");
    sink += remembered.get(sent)!.length;
  }),
  row("the reader's HMAC of 100,000 keys, at random", () => {
    const sent = sentBytes[Math.floor(Math.random() * sentBytes.length)]!.toString("latin1");
    sink += reader.read(sent).length;
  }),
);
const firstChecks: string[] = [];
for (const count of keyCounts) {
  const texts = keysOf(count);
  const { rule } = flowWith(texts);
  const textAt = (index: number): string => texts[index % count]!;
  const label = `${count.toLocaleString("en")} ${count === 1 ? "key" : "keys"}`;
  rows.push(row(label, (index) => check(rule(), textAt(index))));
  firstChecks.push(`${label}: ${firstCheckMs(texts).toFixed(2)} ms`);
}

/** The first check after the flow's keys have changed makes the index of them. */
function firstCheckMs(texts: string[]): number {
  const times = Array.from({ length: 9 }, () => {
    const { rule } = flowWith(texts);
    const startMs = performance.now();
    check(rule(), texts[0]!);
    return performance.now() - startMs;
  });
  return median(times);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function measure({ work, perSecond }: Row, isKept: boolean): void {
  let index = 0;
  const startMs = performance.now();
  let elapsedMs = 0;
  while (elapsedMs < roundMs) {
    for (let each = 0; each < batch; each++) work(index++);
    elapsedMs = performance.now() - startMs;
  }
  if (isKept) perSecond.push((index * 1000) / elapsedMs);
}

for (let round = -2; round < rounds; round++) {
  for (const each of rows) measure(each, round >= 0);
}
keyUse.stop();

const shown = (perSecond: number): string => Math.round(perSecond).toLocaleString("en").padStart(12);
console.log(
  `Node ${process.version}, ${cpus()[0]?.model ?? "unknown CPU"}, ${rounds} rounds of ${roundMs} ms each\n`,
);
console.log(
  `${"checks a second, one thread".padEnd(48)}${"median".padStart(12)}${"least".padStart(12)}${"most".padStart(12)}`,
);
for (const { name, perSecond } of rows) {
  const least = Math.min(...perSecond);
  const most = Math.max(...perSecond);
  console.log(`${name.padEnd(48)}${shown(median(perSecond))}${shown(least)}${shown(most)}`);
}
console.log(`\nfirst check after the keys have changed (their index is made): ${firstChecks.join(", ")}`);
// What the bare rows add up is used, so that it is not optimised away.
if (!Number.isFinite(sink)) console.log(sink);
