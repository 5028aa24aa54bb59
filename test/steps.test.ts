/** Low-code steps in real threads: order, branches, loops, inputs, and what becomes of errors. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loopRecordsMax } from "../data-plane/runtime/stepWalk.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import { pack } from "./support/flowRunner.ts";
import {
  definitionOf,
  type FlowRun,
  type FlowRuns,
  type Sent,
  type ShortStep,
  startFlowRuns,
} from "./support/flowRuns.ts";

let flows: FlowRuns;

beforeAll(async () => {
  flows = await startFlowRuns();
});
afterAll(() => flows.stop());

const runSteps = (steps: ShortStep[], sent?: Sent): Promise<FlowRun> => flows.run(definitionOf(steps), sent);

const runCode = (name: string, code: string): ShortStep => [
  name,
  "code/runCode",
  { code: `module.exports = ${code}` },
];

const namesOf = (run: FlowRun) => run.steps.map((step) => step.stepName);

describe("branches", () => {
  const byKind: ShortStep = [
    "By Kind",
    "branch/branchOnValue",
    {
      inputValue: { ref: "trigger.results.body.data.kind" },
      branchValueMappings: { type: "complex", value: [{ name: "Orders", type: "value", value: "7" }] },
    },
    {
      branches: {
        Orders: [["Log Order", "log/writeLog", { message: "an order" }]],
        Else: [["Log Other", "log/writeLog", { message: "something else" }]],
      },
    },
  ];

  test("run the steps of the one that the action names, and go on after them", async () => {
    const steps = [byKind, runCode("After", "async (_, steps) => ({ data: Object.keys(steps).sort() })")];
    const order = await runSteps(steps, { body: { kind: 7 } });
    expect(order.outcome.error).toBeNull();
    expect(namesOf(order)).toEqual(["Trigger", "By Kind", "Log Order", "After"]);
    expect(order.logs.map(({ message }) => message)).toEqual(["an order"]);
    const other = await runSteps(steps, { body: { kind: "x" } });
    expect(namesOf(other)).toEqual(["Trigger", "By Kind", "Log Other", "After"]);
    expect(other.steps[1]!.results).toBe("Else");
  });

  test("by conditions as they are exported, whatever is empty", async () => {
    const condition = (name: string, value: unknown[]) => ({ name, type: "complex", value });
    const term = (value: string) => ({
      name: "",
      type: "reference",
      value: `trigger.results.body.data.${value}`,
    });
    const steps: ShortStep[] = [
      [
        "Check",
        "branch/branchOnExpression",
        {
          conditions: {
            type: "complex",
            value: [
              condition("None", ["and", ["isEmpty", term("items"), { name: "", type: "value", value: "" }]]),
              condition("Large", [
                "or",
                ["greaterThan", term("count"), { type: "value", value: "10" }],
                ["and", ["exists", term("big")], ["isTrue", term("big")]],
              ]),
            ],
          },
        },
        { branches: { None: [], Large: [], Else: [] } },
      ],
    ];
    const taken = async (body: object) => (await runSteps(steps, { body })).data;
    expect(await taken({ items: [] })).toBe("None");
    expect(await taken({ items: [1], count: 11 })).toBe("Large");
    expect(await taken({ items: [1], count: 3, big: "yes" })).toBe("Large");
    expect(await taken({ items: [1], count: 3 })).toBe("Else");
  });

  test("that did not run leave nothing to refer to, and those after them can still be written", async () => {
    const { data } = await runSteps(
      [
        byKind,
        ["Text", "log/writeLog", { message: { template: "<{{$logOrder.results}}|{{$logOther.results}}>" } }],
      ],
      { body: { kind: 7 } },
    );
    expect(data).toBe("<an order|>");
  });

  test("of a private component are taken by what it returns, of its triggers too", async () => {
    const digest = await pack(`module.exports = { key: "Router",
      triggers: { route: { perform: async (_context, payload) => ({ payload, branch: payload.body.data.to }) } },
      actions: { split: { perform: async (_context, { value }) => ({ data: value, branch: value }) } } };`);
    const { definition } = importDefinition(`
definitionVersion: 7
name: Routed
flows:
  - name: Flow
    steps:
      - name: Hook
        isTrigger: true
        action: { key: route, component: { key: Router, isPublic: false } }
        branches:
          - name: left
            steps:
              - name: Split
                action: { key: split, component: { key: Router, isPublic: false } }
                inputs: { value: { type: reference, value: hook.results.body.data.next } }
                branches:
                  - name: inner
                    steps: [{ name: Inner, action: { key: breakLoop, component: { key: loop } } }]
          - name: right
            steps: []
`);
    const run = (body: object) => flows.run({ ...definition, bundles: { Router: digest } }, { body });
    expect(namesOf(await run({ to: "left", next: "inner" }))).toEqual(["Hook", "Split", "Inner"]);
    expect(namesOf(await run({ to: "left", next: "nowhere" }))).toEqual(["Hook", "Split"]);
    expect(namesOf(await run({ to: "right" }))).toEqual(["Hook"]);
    expect((await run({})).outcome.error).toBe("Hook: its action named no branch.");
  });
});

describe("loops", () => {
  test("run their steps for each item, nested, and give the list of what the last of them gave", async () => {
    const { data, steps, outcome } = await runSteps(
      [
        [
          "Over Lists",
          "loop/loopOverItems",
          { items: { ref: "trigger.results.body.data" } },
          {
            steps: [
              [
                "Over Items",
                "loop/loopOverItems",
                { items: { ref: "overLists.currentItem" } },
                {
                  steps: [
                    runCode(
                      "Show",
                      "async (context, steps) => ({ data: [steps.overLists.index, steps.overItems.index, steps.overItems.currentItem, context.executionFrame.loopPath] })",
                    ),
                  ],
                },
              ],
            ],
          },
        ],
        runCode("After", "async (_, { overLists }) => ({ data: overLists.results })"),
      ],
      { body: [["a", "b"], [], ["c"]] },
    );
    expect(outcome.error).toBeNull();
    expect(data).toEqual([
      [
        [0, 0, "a", "Over Lists[0]/Over Items[0]"],
        [0, 1, "b", "Over Lists[0]/Over Items[1]"],
      ],
      [],
      [[2, 0, "c", "Over Lists[2]/Over Items[0]"]],
    ]);
    expect(steps.map((step) => step.stepName)).toEqual([
      "Trigger",
      ...["Show", "Show", "Over Items"],
      ...["Over Items"],
      ...["Show", "Over Items"],
      "Over Lists",
      "After",
    ]);
    expect(steps.map((step) => step.loopPath)).toEqual([
      undefined,
      "Over Lists[0]/Over Items[0]",
      "Over Lists[0]/Over Items[1]",
      "Over Lists[0]",
      "Over Lists[1]",
      "Over Lists[2]/Over Items[0]",
      "Over Lists[2]",
      undefined,
      undefined,
    ]);
  });

  test("go over an object's members, and a number of times until they are left", async () => {
    const members = await runSteps(
      [
        [
          "Loop",
          "loop/loopOverItems",
          { items: { ref: "trigger.results.body.data" } },
          {
            steps: [
              [
                "Line",
                "log/writeLog",
                { message: { template: "{{$loop.currentItem.key}}={{$loop.currentItem.value}}" } },
              ],
            ],
          },
        ],
      ],
      { body: { a: 1, b: 2 } },
    );
    expect(members.data).toEqual(["a=1", "b=2"]);
    const counted = await runSteps([
      [
        "Loop",
        "loop/loopNTimes",
        { iterationCount: "50000000" },
        {
          steps: [
            runCode(
              "Count",
              "async (context) => ({ data: (context.executionState.n = (context.executionState.n ?? 0) + 1) })",
            ),
            [
              "Enough",
              "branch/branchOnExpression",
              {
                conditions: {
                  type: "complex",
                  value: [
                    {
                      name: "Yes",
                      type: "complex",
                      value: [
                        "and",
                        [
                          "greaterThanOrEqual",
                          { type: "reference", value: "count.results" },
                          { type: "value", value: "3" },
                        ],
                      ],
                    },
                  ],
                },
              },
              { branches: { Yes: [["Leave", "loop/breakLoop"]], Else: [] } },
            ],
            ["Number", "log/writeLog", { message: { template: "{{$count.results}} of {{$loop.index}}" } }],
          ],
        },
      ],
      runCode("After", "async (_, { loop }) => ({ data: loop.results })"),
    ]);
    expect(counted.outcome.error).toBeNull();
    expect(counted.data).toEqual(["1 of 0", "2 of 1"]);
  });

  test("forget what the iteration before left", async () => {
    const { data } = await runSteps([
      [
        "Loop",
        "loop/loopNTimes",
        { iterationCount: "2" },
        {
          steps: [
            ["Before", "log/writeLog", { message: { template: "[{{$late.results}}]" } }],
            ["Late", "log/writeLog", { message: { template: "{{$before.results}}late" } }],
          ],
        },
      ],
    ]);
    expect(data).toEqual(["[]late", "[]late"]);
  });

  test("end the flow from inside, with the answer that is given there", async () => {
    const { outcome, steps } = await runSteps([
      [
        "Loop",
        "loop/loopNTimes",
        { iterationCount: "5" },
        {
          steps: [
            [
              "Stop",
              "stop-execution/stopExecution",
              {
                statusCode: "418",
                jsonBody: '{"short":true}',
                headers: { type: "complex", value: [{ name: "x-a", type: "value", value: "1" }] },
              },
            ],
          ],
        },
      ],
      ["Never", "log/writeLog", { message: "never" }],
    ]);
    expect(outcome).toMatchObject({
      status: "SUCCEEDED",
      result: {
        data: { short: true },
        statusCode: 418,
        contentType: "application/json",
        headers: { "x-a": "1" },
      },
    });
    expect(steps.map((step) => step.stepName)).toEqual(["Trigger", "Stop", "Loop"]);
  });

  test("are bounded in what they do and in what they record, and let other runs in", async () => {
    const endless = runSteps([
      ["Loop", "loop/loopNTimes", { iterationCount: "100001" }, { steps: [["Line", "math/none"]] }],
    ]);
    expect((await endless).outcome.errorCode).toBe("BUNDLE_INVALID");
    const many = await runSteps([
      [
        "Loop",
        "loop/loopNTimes",
        { iterationCount: "100001" },
        { steps: [runCode("Nothing", "async () => ({ data: 0 })")] },
      ],
    ]);
    expect(many.outcome).toMatchObject({ status: "FAILED", errorCode: "FLOW_FAILED" });
    expect(many.outcome.error).toContain("at most 100000 iterations");
    expect(many.steps.filter((step) => step.stepName === "Nothing")).toHaveLength(loopRecordsMax);
    expect(many.logs.filter(({ severity }) => severity === "WARN")).toHaveLength(1);
  });

  test("refuse what is no list", async () => {
    const loop = (items: unknown): ShortStep[] => [["Loop", "loop/loopOverItems", { items }, { steps: [] }]];
    expect((await runSteps(loop("seven"))).outcome.error).toContain("neither a list nor an object");
    expect((await runSteps(loop({ ref: "trigger.results.none" }))).outcome.error).toContain("is empty");
  });
});

describe("a step's error handling", () => {
  const failsTwice = runCode(
    "Flaky",
    "async ({ executionState: s }) => { s.n = (s.n ?? 0) + 1; if (s.n < 3) throw new TypeError('no ' + s.n); return { data: s.n }; }",
  );
  const withConfig = (errorConfig: object, [name, action, inputs]: ShortStep = failsTwice): ShortStep => [
    name,
    action,
    inputs,
    { errorConfig },
  ];
  const after = runCode("After", "async (_, { flaky }) => ({ data: flaky })");

  test("fail ends the run", async () => {
    const { outcome } = await runSteps([withConfig({ errorHandlerType: "fail" }), after]);
    expect(outcome).toMatchObject({ status: "FAILED", errorCode: "FLOW_FAILED", error: "Flaky: no 1" });
  });

  test("ignore goes on; the error stands in the record and can be read", async () => {
    const { data, steps, logs, outcome } = await runSteps([
      withConfig({ errorHandlerType: "ignore" }),
      after,
    ]);
    expect(outcome.status).toBe("SUCCEEDED");
    expect(data).toEqual({ results: null, failed: true, error: { name: "TypeError", message: "no 1" } });
    expect(steps[1]).toMatchObject({ stepName: "Flaky", error: "no 1", results: null });
    expect(logs).toMatchObject([
      { severity: "WARN", message: "It failed and is ignored: no 1", stepName: "Flaky" },
    ]);
  });

  test("retry calls again, each failure in the log, up to its number, and then fails or goes on", async () => {
    const retry = { errorHandlerType: "retry", delaySeconds: 0, maxAttempts: 2 };
    const good = await runSteps([withConfig(retry), after]);
    expect(good.data).toEqual({ results: 3 });
    expect(good.logs.map(({ message }) => message)).toEqual([
      "Try 1 of 3 failed, the next one is in 0 s: no 1",
      "Try 2 of 3 failed, the next one is in 0 s: no 2",
    ]);
    expect(good.steps.filter((step) => step.stepName === "Flaky")).toHaveLength(1);
    const bad = await runSteps([withConfig({ ...retry, maxAttempts: 1 }), after]);
    expect(bad.outcome.error).toBe("Flaky: no 2");
    const ignored = await runSteps([withConfig({ ...retry, maxAttempts: 1, ignoreFinalError: true }), after]);
    expect(ignored.data).toMatchObject({ results: null, failed: true });
  });

  test("of a loop holds for the steps in it", async () => {
    const { data, steps } = await runSteps([
      [
        "Loop",
        "loop/loopNTimes",
        { iterationCount: "3" },
        {
          errorConfig: { errorHandlerType: "ignore" },
          steps: [runCode("Throw", "async () => { throw 'bad luck' }")],
        },
      ],
      runCode("After", "async (_, { loop }) => ({ data: loop.error.message })"),
    ]);
    expect(data).toBe("Throw: bad luck");
    expect(steps.map(({ stepName, error }) => [stepName, error])).toEqual([
      ["Trigger", null],
      ["Throw", "bad luck"],
      ["Loop", "Throw: bad luck"],
      ["After", null],
    ]);
  });

  test("takes a return that says that it failed for a failure", async () => {
    const step = runCode("Failed", "async () => ({ data: 1, failed: true, error: { message: 'by word' } })");
    expect((await runSteps([step])).outcome.error).toBe("Failed: by word");
  });
});
