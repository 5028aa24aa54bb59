/** What flow code is handed, field by field as the SDK's types name them, and what its returns do. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { endedExecution, messagesOf } from "./support/executionRecord.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;
let urls: Record<string, string>;

beforeAll(async () => {
  planes = await bootPlanes();
  const { instances } = await publishAndDeploy(planes, "whole-context", ["whole"]);
  urls = instances["whole"]!.webhookUrls;
});
afterAll(() => planes?.stop());

test("a flow gets every field of context and payload, and its returns are what they say", async () => {
  const answer = await sendWebhook(`${urls["Everything"]}/more/path?a=1`, {
    body: { n: 1 },
    headers: { "x-sent": "here", "prismatic-debug": "true" },
  });
  expect(answer.status).toBe(207);
  expect(answer.headers.get("x-by-flow")).toBe("yes");
  const { invoked, ...data } = answer.json;
  expect(data).toEqual({
    lacking: [],
    isRequired: true,
    stepId: "everything-onExecution",
    customer: { id: expect.any(String), externalId: "whole", name: "Customer whole" },
    instance: { id: expect.any(String), name: "Instance of whole" },
    user: { id: "", email: "", name: "", externalId: "" },
    integration: {
      id: expect.any(String),
      name: "Fixture Whole Context",
      versionSequenceId: expect.any(String),
      externalVersion: "",
    },
    flow: { id: expect.any(String), name: "Everything", stableId: "everything" },
    frame: {
      invokedByExecutionJWT: "",
      invokedByExecutionStartedAt: expect.any(String),
      componentActionKey: expect.stringContaining("."),
      executionId: answer.executionId,
      executionStartedAt: expect.any(String),
      stepName: "On Execution",
      loopPath: "",
    },
    schemas: {
      Everything: {
        invoke: {
          title: "everything-invoke",
          type: "object",
          $schema: expect.any(String),
          properties: { who: { description: "Who it is about", type: "string" } },
          required: ["who"],
        },
      },
    },
    batch: { enabled: false },
    configVars: { Color: "blue" },
    debug: { enabled: true, measured: ["whole"] },
    memory: [["here", true]],
    states: [{ byTrigger: "instance" }, { byTrigger: "execution" }],
    sum: 3,
    urls: ["Everything", "Sibling", "Failed By Word", "Ignored", "Retried"],
    trigger: {
      sent: { n: 1 },
      trigger: { lackingContext: [], lackingPayload: [], isSameExecution: true },
    },
    headers: "here",
    query: { a: "1" },
    fragment: "/more/path",
  });
  expect(invoked).toEqual({ status: 200, data: { executionId: expect.any(String) } });
  const record = await endedExecution(planes, invoked.data.executionId);
  expect(record).toMatchObject({ status: "SUCCEEDED", invokeType: "CROSS_FLOW", flowName: "Sibling" });
});

test("each level of the logger, sections and debug results are in the log", async () => {
  const answer = await sendWebhook(urls["Everything"]!, { body: {}, headers: { "prismatic-debug": "true" } });
  const { executionResult, executionSections } = await waitFor(async () => {
    const found = await graphql(
      planes.controlUrl,
      planes.adminToken,
      `query ($id: ID!) { executionResult(id: $id) { endedAt
        logs(first: 100, orderBy: { field: TIMESTAMP, direction: ASC }) { nodes { severity message sectionId } } }
        executionSections(executionResult: $id) { nodes { sectionId label } } }`,
      { id: answer.executionId },
    );
    return found.executionResult?.endedAt == null ? null : found;
  });
  const lines: { severity: string; message: string; sectionId: string | null }[] = executionResult.logs.nodes;
  const sections: { sectionId: string; label: string }[] = executionSections.nodes;
  const labelOf = (id: string | null) => sections.find(({ sectionId }) => sectionId === id)?.label ?? null;
  const shown = lines.map(({ severity, message, sectionId }) => [severity, message, labelOf(sectionId)]);
  expect(shown).toEqual(
    expect.arrayContaining([
      ["TRACE", "trace", null],
      ["DEBUG", "debug", null],
      ["INFO", "info", null],
      ["INFO", "log", null],
      ["WARN", "warn", null],
      ["ERROR", "error", null],
      ["METRIC", "{ orders: 3 }", null],
      ["INFO", "inside", "Part one"],
      ["INFO", "{ n: 1 }", "Part one"],
    ]),
  );
  // spectral itself logs what was measured, where debugging is on.
  expect(lines.filter(({ severity }) => severity === "METRIC").at(-1)!.message).toContain("timeElapsed");
});

test("a return that says that it failed fails the run", async () => {
  const { executionId } = await sendWebhook(urls["Failed By Word"]!, { body: {} });
  expect(await endedExecution(planes, executionId!)).toMatchObject({
    status: "FAILED",
    error: "On Execution: said so itself",
  });
});

test("the errorConfig of a code-native flow is kept to: ignored, and tried again", async () => {
  const ignored = await sendWebhook(urls["Ignored"]!, { body: {} });
  expect(ignored.status).toBe(200);
  const record = await endedExecution(planes, ignored.executionId!);
  expect(record).toMatchObject({ status: "SUCCEEDED", error: null });
  expect(messagesOf(record)).toContain("It failed and is ignored: does not matter");
  const retried = await sendWebhook(urls["Retried"]!, { body: {} });
  expect(retried.json).toEqual({ calls: 3 });
  expect(messagesOf(await endedExecution(planes, retried.executionId!)).join()).toContain(
    "Try 2 of 4 failed",
  );
});
