/** Flows that run by the clock: real planes, a real bundle, schedules of seconds. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { deployTo, publishFixture } from "./support/publishAndDeploy.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let version: Awaited<ReturnType<typeof publishFixture>>;

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
const api = (document: string, variables: Record<string, unknown> = {}): Promise<any> =>
  graphql(planes.controlUrl, planes.adminToken, document, variables);

beforeAll(async () => {
  planes = await bootPlanes();
  version = await publishFixture(planes, "schedules");
}, 60_000);

afterAll(() => planes?.stop());

interface Run {
  id: string;
  startedAt: string;
  endedAt: string | null;
  status: string;
  invokeType: string;
  requestPayload: { invocation: { kind: string; tickAtMs: number } };
}

/** The flow's executions, the oldest first. */
async function runsOf(instanceId: string, flowName: string): Promise<Run[]> {
  const { instance, executionResults } = await api(
    `query ($id: ID!, $flowName: String!) {
      instance(id: $id) { id }
      executionResults(instance: $id, flowName: $flowName, first: 100, orderBy: { field: STARTED_AT, direction: ASC }) {
        nodes { id startedAt endedAt status invokeType requestPayload }
      }
    }`,
    { id: instanceId, flowName },
  );
  expect(instance).not.toBeNull();
  return executionResults.nodes;
}

const ticksOf = (runs: Run[]): number[] => runs.map((run) => run.requestPayload.invocation.tickAtMs);

async function nextRuns(instanceId: string): Promise<Record<string, string | null>> {
  const { instance } = await api(
    "query ($id: ID!) { instance(id: $id) { flowConfigs { nodes { flow { name } nextScheduledRunAt } } } }",
    { id: instanceId },
  );
  return Object.fromEntries(
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    instance.flowConfigs.nodes.map((node: any) => [node.flow.name, node.nextScheduledRunAt]),
  );
}

const setEnabled = (id: string, enabled: boolean) =>
  api(
    "mutation ($id: ID!, $enabled: Boolean) { updateInstance(input: { id: $id, enabled: $enabled }) { errors { messages } } }",
    { id, enabled },
  );

const deployDocument =
  "mutation ($id: ID!) { deployInstance(input: { id: $id }) { instance { id } errors { messages } } }";

async function setWhen(id: string, value: string, timeZone?: string) {
  expect(await problemsOfWhen(id, value, timeZone)).toEqual([]);
}

async function problemsOfWhen(id: string, value: string, timeZone?: string) {
  const configVariables = [{ key: "When", value, ...(timeZone === undefined ? {} : { timeZone }) }];
  const { updateInstance } = await api(
    `mutation ($id: ID!, $configVariables: [InputInstanceConfigVariable]) {
      updateInstance(input: { id: $id, configVariables: $configVariables }) { errors { messages } }
    }`,
    { id, configVariables },
  );
  return updateInstance.errors.flatMap(({ messages }: { messages: string[] }) => messages);
}

describe("a scheduled flow", () => {
  test("runs at its times without a request, while its instance is deployed and not paused", async () => {
    const { instanceId, webhookUrls } = await deployTo(planes, version, "ticking");
    const runs = await waitFor(async () => {
      const found = await runsOf(instanceId, "Often");
      return found.length >= 3 && found[2]!.endedAt !== null ? found : null;
    }, 20_000);
    expect(new Set(runs.map((run) => run.invokeType))).toEqual(new Set(["SCHEDULED"]));
    expect(new Set(ticksOf(runs)).size).toBe(runs.length);
    const record = await endedExecution(planes, runs[0]!.id);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      flowName: "Often",
      customer: { externalId: "ticking" },
    });
    expect(messagesOf(record)).toContain("Often ran for ticking");
    expect(webhookUrls["Often"]).toContain("/trigger/");

    await setEnabled(instanceId, false);
    expect((await nextRuns(instanceId))["Often"]).toBeNull();
    // What was started before the pause comes to its end.
    await waitFor(async () => (await runsOf(instanceId, "Often")).every((run) => run.endedAt !== null));
    const paused = (await runsOf(instanceId, "Often")).length;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(await runsOf(instanceId, "Often")).toHaveLength(paused);
    await setEnabled(instanceId, true);
    await waitFor(async () => (await runsOf(instanceId, "Often")).length > paused, 20_000);
    await setEnabled(instanceId, false);
  }, 60_000);

  test("runs when its config variable says, in that variable's time zone", async () => {
    const { instanceId } = await deployTo(planes, version, "variable");
    expect((await nextRuns(instanceId))["By Variable"]).toBeNull();
    await setWhen(instanceId, "30 2 * * *");
    expect((await api(deployDocument, { id: instanceId })).deployInstance.errors).toEqual([]);
    const inNewYork = new Date((await nextRuns(instanceId))["By Variable"]!);
    expect(clockIn("America/New_York", inNewYork)).toBe("02:30");
    await setWhen(instanceId, "30 2 * * *", "Asia/Tokyo");
    expect((await api(deployDocument, { id: instanceId })).deployInstance.errors).toEqual([]);
    const inTokyo = new Date((await nextRuns(instanceId))["By Variable"]!);
    expect(clockIn("Asia/Tokyo", inTokyo)).toBe("02:30");
    await setEnabled(instanceId, false);
  });

  test("whose cron expression or time zone can't be read is refused when it is set", async () => {
    const { instanceId } = await deployTo(planes, version, "invalid");
    const before = await api("query ($id: ID!) { instance(id: $id) { lastDeployedAt } }", { id: instanceId });
    expect(await problemsOfWhen(instanceId, "every now and then")).toEqual([
      expect.stringMatching(/^Config variable "When" must be a cron expression/),
    ]);
    expect(await problemsOfWhen(instanceId, "0 0 * * *", "Mars/Olympus")).toEqual([
      expect.stringContaining('the time zone "Mars/Olympus"'),
    ]);
    const after = await api("query ($id: ID!) { instance(id: $id) { lastDeployedAt } }", { id: instanceId });
    expect(after).toEqual(before);
    await setEnabled(instanceId, false);
  });

  test("does not run twice at once: times that come meanwhile are passed over, and told of", async () => {
    const { instanceId } = await deployTo(planes, version, "slow");
    const runs = await waitFor(async () => {
      const found = await runsOf(instanceId, "Slow");
      return found.length >= 3 && found[2]!.endedAt !== null ? found : null;
    }, 30_000);
    await setEnabled(instanceId, false);
    const whole = runs.filter((run) => run.endedAt !== null);
    for (const [index, run] of whole.slice(1).entries())
      expect(Date.parse(run.startedAt)).toBeGreaterThanOrEqual(Date.parse(whole[index]!.endedAt!));
    expect(planes.control.log()).toContain("a time of a schedule was passed over");
    expect(await skippedTicks()).toBeGreaterThan(0);
  }, 40_000);

  test("runs once for all times that were missed while the control plane was gone", async () => {
    const { instanceId } = await deployTo(planes, version, "missed");
    await setEnabled(instanceId, false);
    // Three seconds of one minute, which lie ahead.
    await waitFor(() => new Date().getUTCSeconds() < 50, 20_000);
    const first = new Date(Date.now() + 3000);
    const [minute, hour, second] = [first.getUTCMinutes(), first.getUTCHours(), first.getUTCSeconds()];
    await setWhen(instanceId, `${second},${second + 1},${second + 2} ${minute} ${hour} * * *`, "UTC");
    expect((await api(deployDocument, { id: instanceId })).deployInstance.errors).toEqual([]);
    await setEnabled(instanceId, true);
    await planes.control.kill();
    await waitFor(() => Date.now() > first.getTime() + 3500, 20_000);
    await planes.control.start();
    const runs = await waitFor(async () => {
      const found = await runsOf(instanceId, "By Variable");
      return found.length > 0 && found[0]!.endedAt !== null ? found : null;
    }, 20_000);
    await setEnabled(instanceId, false);
    expect(ticksOf(runs)).toEqual([first.setUTCMilliseconds(0)]);
    expect(await runsOf(instanceId, "By Variable")).toHaveLength(1);
  }, 60_000);
});

const clockIn = (timeZone: string, date: Date): string =>
  new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" }).format(date);

async function skippedTicks(): Promise<number> {
  const text = await (await fetch(`${planes.controlUrl}/metrics`)).text();
  return Number(/switchyard_control_schedule_ticks_total\{outcome="skipped"\} (\d+)/.exec(text)?.[1]);
}
