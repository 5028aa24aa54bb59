/** Triggers that bring along more than a webhook: of a component in a low-code flow, and of code-native flows. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuiltComponent } from "../shared/scripts/bundleIntegration.ts";
import { publishBuilt } from "../shared/scripts/publishIntegration.ts";
import { api } from "./support/configuredInstance.ts";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { buildFixture } from "./support/fixtures.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { deployTo, publishAndDeploy, publishYamlFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let deployed: Awaited<ReturnType<typeof deployTo>>;

beforeAll(async () => {
  planes = await bootPlanes();
  const folder = await buildFixture("sync-component");
  const built = createRequire(import.meta.url)(join(folder, "index.js")) as { default: BuiltComponent };
  await publishBuilt(planes.api, built.default, folder, false);
  deployed = await deployTo(planes, await publishYamlFixture(planes, "sync-flows"), "acme");
}, 60_000);

afterAll(() => planes?.stop());

interface Run {
  id: string;
  status: string;
  resultType: string | null;
  invokeType: string;
  invokedBy: { id: string } | null;
  requestPayload: { invocation?: { kind: string; isDeploy?: boolean } };
  stepResults: { totalCount: number };
}

async function runsOf(flowName: string, instanceId = deployed.instanceId): Promise<Run[]> {
  const { executionResults } = await api(
    planes,
    `query ($instance: ID!, $flowName: String!) {
      executionResults(instance: $instance, flowName: $flowName, first: 100, orderBy: { field: STARTED_AT, direction: ASC }) {
        nodes { id status resultType invokeType invokedBy { id } requestPayload stepResults { totalCount } }
      }
    }`,
    { instance: instanceId, flowName },
  );
  return executionResults.nodes;
}

/** What the batches that follow from an execution were given, once there are so many. */
async function batchesOf(rootId: string, count: number): Promise<string[]> {
  const runs = await waitFor(async () => {
    const found = (await runsOf("Numbers")).filter(
      (run) => run.invokedBy?.id === rootId && run.requestPayload.invocation?.kind === "batch",
    );
    return found.length === count && found.every((run) => run.status === "SUCCEEDED") ? found : null;
  }, 20_000);
  const records = await Promise.all(runs.map((run) => endedExecution(planes, run.id)));
  return records.map((record) => messagesOf(record).find((message) => message.startsWith("got "))!).sort();
}

describe("a batched trigger of a component", () => {
  test("runs its first sync on the deploy, where the flow asks for it", async () => {
    const root = await waitFor(async () =>
      (await runsOf("Numbers")).find((run) => run.requestPayload.invocation?.kind === "deploy"),
    );
    expect(root.invokeType).toBe("DEPLOY_FLOW");
    expect(await batchesOf(root.id, 2)).toEqual(['got [{"number":1},{"number":2}]', 'got [{"number":3}]']);
  });

  test("gives its flow batches of the size that the flow is configured with", async () => {
    const { executionId } = await sendWebhook(deployed.webhookUrls["Numbers"]!, { body: {} });
    expect(await batchesOf(executionId!, 3)).toEqual([
      'got [{"number":1},{"number":2}]',
      'got [{"number":3},{"number":4}]',
      'got [{"number":5}]',
    ]);
  });
});

describe("a polling trigger of a component", () => {
  test("keeps its state between its calls, and ends the flow where it found nothing new", async () => {
    const runs = await waitFor(async () => {
      const found = (await runsOf("Counter")).filter((run) => run.status === "SUCCEEDED");
      return found.length >= 4 ? found : null;
    }, 20_000);
    expect(runs.slice(0, 4).map((run) => [run.resultType, run.stepResults.totalCount])).toEqual([
      [null, 2],
      [null, 2],
      ["POLLED_NO_CHANGES", 1],
      ["POLLED_NO_CHANGES", 1],
    ]);
    expect(messagesOf(await endedExecution(planes, runs[1]!.id))).toContain('got {"calls":2}');
  }, 30_000);
});

describe("a polling trigger of a code-native flow", () => {
  test("does the same", async () => {
    const { instances } = await publishAndDeploy(planes, "polling", ["polling"]);
    const { instanceId } = instances["polling"]!;
    const runs = await waitFor(async () => {
      const found = (await runsOf("Poll", instanceId)).filter((run) => run.status === "SUCCEEDED");
      return found.length >= 2 ? found : null;
    }, 20_000);
    expect(runs.slice(0, 2).map((run) => [run.resultType, run.stepResults.totalCount])).toEqual([
      [null, 2],
      ["POLLED_NO_CHANGES", 1],
    ]);
    expect(messagesOf(await endedExecution(planes, runs[0]!.id))).toContain('found {"calls":1}');
  }, 30_000);
});

describe("a replay", () => {
  test("of what no request has started starts the same again", async () => {
    const first = (await runsOf("Counter"))[0]!;
    const { replayExecution } = await api(
      planes,
      "mutation ($id: ID!) { replayExecution(input: { id: $id }) { execution { id } errors { messages } } }",
      { id: first.id },
    );
    expect(replayExecution.errors).toEqual([]);
    const record = await endedExecution(planes, replayExecution.execution.id);
    expect(record).toMatchObject({
      status: "SUCCEEDED",
      invokeType: "REPLAY",
      replayForExecution: { id: first.id },
    });
    const batch = (await runsOf("Numbers")).find((run) => run.requestPayload.invocation?.kind === "batch")!;
    const again = await api(
      planes,
      "mutation ($id: ID!) { replayExecution(input: { id: $id }) { execution { id } } }",
      { id: batch.id },
    );
    const repeated = await endedExecution(planes, again.replayExecution.execution.id);
    const messages = messagesOf(await endedExecution(planes, batch.id));
    expect(messagesOf(repeated).filter((message) => message.startsWith("got "))).toEqual(
      messages.filter((message) => message.startsWith("got ")),
    );
  });
});
