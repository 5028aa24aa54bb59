import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishAndDeploy } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";
import { waitFor } from "./support/waitFor.ts";

let planes: TestPlanes;

beforeAll(async () => {
  planes = await bootPlanes();
});
afterAll(() => planes?.stop());

const all = ["instanceState", "crossFlowState", "executionState", "integrationState"];
const send = async (url: string, body: object = {}) => {
  const answer = await sendWebhook(url, { body });
  expect(answer.status, answer.text).toBe(200);
  return answer.json;
};

describe("what flows keep between executions", () => {
  test("is found by the next run of its scope, whether changed in place or returned", async () => {
    const { instances } = await publishAndDeploy(planes, "stateful", ["scopes-a", "scopes-b"]);
    const [first, second] = [instances["scopes-a"]!.webhookUrls, instances["scopes-b"]!.webhookUrls];
    expect(await send(first["Counter"]!, { count: all })).toEqual(
      Object.fromEntries(all.map((name) => [name, {}])),
    );
    expect(
      await send(first["Counter"]!, { countByReturn: all, set: { crossFlowState: { by: "return" } } }),
    ).toEqual({
      instanceState: { count: 1 },
      crossFlowState: { count: 1 },
      executionState: {},
      integrationState: { count: 1 },
    });
    expect(await send(first["Sibling"]!)).toEqual({
      instanceState: {},
      crossFlowState: { count: 2, by: "return" },
      executionState: {},
      integrationState: { count: 2 },
    });
    await waitFor(async () => (await send(second["Counter"]!)).integrationState.count === 2);
    expect(await send(second["Counter"]!)).toEqual({
      instanceState: {},
      crossFlowState: {},
      executionState: {},
      integrationState: { count: 2 },
    });
  });
});
