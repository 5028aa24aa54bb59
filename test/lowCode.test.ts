/** Low-code flows on real planes: imported, deployed, invoked by each other, and what their records show. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accepted, request } from "../shared/scripts/apiClient.ts";
import { importIntegrationMutation } from "../shared/scripts/operations.ts";
import { executionRecord, messagesOf } from "./support/executionRecord.ts";
import { buildFixture } from "./support/fixtures.ts";
import { yamlOf } from "./support/flowRuns.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { createPrism } from "./support/prism.ts";
import { deployTo, publishYamlFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { newTemporaryFolder, removeFolder } from "./support/temporaryFolder.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let urls: Record<string, string>;
const folder = newTemporaryFolder();

beforeAll(async () => {
  planes = await bootPlanes();
  const prism = createPrism({ url: planes.controlUrl, token: planes.adminToken, folder });
  // prism writes its package beside what it publishes.
  const greeter = join(folder, "greeter");
  cpSync(await buildFixture("plain-component"), greeter, { recursive: true });
  await prism(["components:publish", "--no-confirm"], { cwd: greeter });
  const version = await publishYamlFixture(planes, "low-code-steps");
  urls = (await deployTo(planes, version, "steps")).webhookUrls;
});
afterAll(async () => {
  await planes?.stop();
  removeFolder(folder);
});

interface Lineage {
  id: string;
  invokeType: string;
  endedAt: string | null;
  invokedBy: { id: string } | null;
  invokedExecutions: { nodes: { id: string; flowName: string }[] };
  stepResults: { nodes: { stepName: string; loopPath: string | null }[] };
}

const lineageOf = async (id: string): Promise<Lineage> =>
  (
    await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($id: ID!) { executionResult(id: $id) {
        id invokeType endedAt invokedBy { id } invokedExecutions { nodes { id flowName } }
        stepResults { nodes { stepName loopPath } } } }`,
      { id },
    )
  ).executionResult;

const ended = (id: string): Promise<Lineage> =>
  waitFor(async () => {
    const lineage = await lineageOf(id);
    return lineage?.endedAt == null ? null : lineage;
  }, 20_000);

const invokedFrom = async (id: string, count: number): Promise<Lineage["invokedExecutions"]["nodes"]> =>
  waitFor(async () => {
    const { nodes } = (await lineageOf(id)).invokedExecutions;
    return nodes.length === count ? nodes : null;
  }, 20_000);

describe("a low-code flow", () => {
  test("runs private components in loops, invokes its siblings, and answers where it stops", async () => {
    const answer = await sendWebhook(urls["Greet Everybody"]!, { body: { people: ["Ann", "Bob"] } });
    expect(answer.status).toBe(201);
    expect(answer.json).toEqual(["Hello, Ann!", "Hello, Bob!"]);
    const record = await ended(answer.executionId!);
    expect(record.stepResults.nodes).toEqual([
      { stepName: "Trigger", loopPath: null },
      { stepName: "Greet", loopPath: "Everybody[0]" },
      { stepName: "Greet", loopPath: "Everybody[1]" },
      { stepName: "Everybody", loopPath: null },
      { stepName: "Tell The Other", loopPath: null },
      { stepName: "By URL", loopPath: null },
      { stepName: "Answer", loopPath: null },
    ]);
    // The plain request is a webhook like any other: only the invocation is of this execution's making.
    const [invoked] = await invokedFrom(record.id, 1);
    expect(invoked!.flowName).toBe("Listener");
    const other = await ended(invoked!.id);
    expect(other).toMatchObject({ invokeType: "CROSS_FLOW", invokedBy: { id: record.id } });
    expect(messagesOf((await executionRecord(planes, other.id))!)).toContain(
      'heard ["Hello, Ann!","Hello, Bob!"]',
    );
  });

  test("that invokes itself leaves a chain of executions that can be followed both ways", async () => {
    const { executionId } = await sendWebhook(urls["Pages"]!, { body: {} });
    const [second] = await invokedFrom(executionId!, 1);
    const [third] = await invokedFrom(second!.id, 1);
    const last = await ended(third!.id);
    expect(last.invokedBy).toEqual({ id: second!.id });
    expect(last.invokedExecutions.nodes).toEqual([]);
    expect(last.stepResults.nodes.map((node) => node.stepName)).toEqual([
      "Trigger",
      "Cursor",
      "Last Page",
      "Stop",
    ]);
  });
});

test("a recursive flow begins when its instance is deployed, where it is told to", async () => {
  const version = await publishYamlFixture(planes, "low-code-steps", (yaml) =>
    yaml
      .replace("name: Fixture Low Code Steps", "name: Fixture On Deploy")
      .replace('value: "1" }', 'value: "1" }\n          runOnDeploy: { type: value, value: "true" }'),
  );
  const { instanceId } = await deployTo(planes, version, "on-deploy");
  const invokeTypes = await waitFor(async () => {
    const { instance } = await graphql(
      planes.controlUrl,
      planes.adminToken,
      "query ($id: ID!) { instance(id: $id) { executionResults { nodes { flowName invokeType status } } } }",
      { id: instanceId },
    );
    const runs: { flowName: string; invokeType: string; status: string }[] = instance.executionResults.nodes;
    const ended = runs.filter(({ flowName, status }) => flowName === "Pages" && status === "SUCCEEDED");
    return ended.length === 3 ? ended.map(({ invokeType }) => invokeType) : null;
  }, 20_000);
  // The newest first: two by the flow itself.
  expect(invokeTypes.slice(0, 2)).toEqual(["CROSS_FLOW", "CROSS_FLOW"]);
});

describe("an import", () => {
  const problemsOf = async (definition: string): Promise<string[]> => {
    const { importIntegration } = await request(planes.api, importIntegrationMutation, { definition });
    return importIntegration.errors.flatMap(({ messages }) => messages);
  };

  test("names each component, trigger and action that is not there, wherever its step stands", async () => {
    const yaml = yamlOf(
      [
        ["Talk", "slack/postMessage"],
        ["Loop", "loop/loopNTimes", {}, { steps: [["Inner", "math/cosine"]] }],
        ["Choose", "branch/branchOnValue", {}, { branches: { Yes: [["Deep", "text-manipulation/shout"]] } }],
        ["Log", "log/writeLog", {}, { steps: [["Lost", "sleep/sleep"]] }],
        ["Case", "Text-Manipulation/upperCase"],
      ],
      "Not There",
      "webhook-triggers/hook",
    );
    expect(await problemsOf(yaml)).toEqual([
      'There is no component "Text-Manipulation". Publish it first.',
      'Flow "Flow", step "Trigger": component "webhook-triggers" has no trigger "hook". It has "webhook".',
      expect.stringMatching(
        /^Flow "Flow", step "Talk": the component "slack" is not part of Switchyard\. Publish it/,
      ),
      expect.stringMatching(
        /^Flow "Flow", step "Inner": component "math" has no action "cosine"\. It has "add", /,
      ),
      expect.stringContaining('step "Deep": component "text-manipulation" has no action "shout".'),
      'Flow "Flow", step "Log": it has steps in it, but "writeLog" is no loop. Use one of the component "loop".',
    ]);
  });

  test("takes the letters of a public component's keys in any case", async () => {
    const yaml = yamlOf([["Upper", "text-manipulation/UPPERCASE", { text: "a" }]], "Any Case");
    accepted((await request(planes.api, importIntegrationMutation, { definition: yaml })).importIntegration);
  });
});
