import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { DefinitionError, securityTypeOf } from "../shared/definition.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import { publishProblems } from "../shared/publishRules.ts";

const flow = (name: string, overrides: object = {}) => ({
  name,
  stableKey: name.toLowerCase().replace(/\W+/g, "-"),
  steps: [
    {
      name: "On Trigger",
      action: { key: "webhook", component: { key: "webhook-triggers", isPublic: true } },
    },
    {
      name: "On Execution",
      action: { key: "x_onExecution", component: { key: "own", isPublic: false } },
      ...overrides,
    },
  ],
  ...overrides,
});
const reference = (value: string) => ({ type: "reference", value });
const yaml = (overrides: object) =>
  stringify({
    definitionVersion: 7,
    name: "Acme",
    isCodeNative: true,
    flows: [flow("Update Inventory"), flow("Create Order")],
    ...overrides,
  });
const problems = (overrides: object, organizationKeyCounts: Record<string, number> = {}) =>
  publishProblems(importDefinition(yaml(overrides)), { organizationKeyCounts });

const shared = {
  endpointType: "shared_instance",
  flowNameField: reference("payload.results.body.data.type"),
  externalCustomerIdField: reference("payload.results.body.data.customer"),
};
const sharedWithPreprocess = {
  endpointType: "shared_instance",
  preprocessFlowName: "Route",
  flowNameField: reference("onExecution.results.flowName"),
  externalCustomerIdField: reference("onExecution.results.customerId"),
};

describe("what may be published", () => {
  test("all three endpoint types, with and without a preprocess flow", () => {
    expect(problems({})).toEqual([]);
    expect(
      problems({
        endpointType: "instance_specific",
        flowNameField: reference("payload.results.headers.flow"),
      }),
    ).toEqual([]);
    expect(problems(shared)).toEqual([]);
    expect(problems({ ...sharedWithPreprocess, flows: [flow("Route"), flow("A"), flow("B")] })).toEqual([]);
  });

  test("one flow needs no flow name", () => {
    expect(problems({ ...shared, flowNameField: undefined, flows: [flow("A")] })).toEqual([]);
  });
});

describe("what is refused, each with its own message", () => {
  const cases: [name: string, overrides: object, message: string][] = [
    [
      "shared without an external customer id",
      { ...shared, externalCustomerIdField: undefined },
      "needs externalCustomerIdField",
    ],
    [
      "a preprocess flow on a flow_specific integration",
      { preprocessFlowName: "Create Order" },
      "no use for a preprocess configuration",
    ],
    [
      "routing fields on a flow_specific integration",
      { flowNameField: reference("payload.results.body.data.x") },
      "no use for a preprocess configuration",
    ],
    [
      "both ways of preprocess configuration",
      {
        ...sharedWithPreprocess,
        flowNameField: reference("payload.results.body.data.type"),
        flows: [flow("Route"), flow("A"), flow("B")],
      },
      "not both",
    ],
    [
      "both ways, in the builder's words",
      {
        ...sharedWithPreprocess,
        triggerPreprocessFlowConfig: { flowNameField: "body.data.x" },
        flows: [flow("Route"), flow("A"), flow("B")],
      },
      "not both",
    ],
    [
      "two preprocess flows",
      {
        ...sharedWithPreprocess,
        preprocessFlowName: ["Route", "A"],
        flows: [flow("Route"), flow("A"), flow("B")],
      },
      "Only one flow may be",
    ],
    [
      "organization security without keys",
      { flows: [flow("A", { endpointSecurityType: "organization" })] },
      "has no organization key",
    ],
    ["several flows and no flow name", { ...shared, flowNameField: undefined }, "no flowNameField"],
    [
      "a preprocess flow and nothing else",
      { ...sharedWithPreprocess, flows: [flow("Route")] },
      "only flow is the preprocess flow",
    ],
    [
      "customer security on a shared preprocess flow",
      {
        ...sharedWithPreprocess,
        flows: [flow("Route", { endpointSecurityType: "customer_optional" }), flow("A"), flow("B")],
      },
      "can't be customer_optional",
    ],
    [
      "two names in one action key",
      { flows: [flow("Update Inventory"), flow("update-inventory", { stableKey: "other" })] },
      'one action key, "updateInventory"',
    ],
    [
      "a reference that does not parse",
      { ...shared, flowNameField: reference("payload.results.body.data['x") },
      "flowNameField:",
    ],
    [
      "a shared preprocess flow that reads config variables",
      {
        ...sharedWithPreprocess,
        flows: [
          flow("Route", { inputs: { token: { type: "configVar", value: "Token" } } }),
          flow("A"),
          flow("B"),
        ],
      },
      "reads config variables",
    ],
  ];

  test.each(cases)("%s", (_name, overrides, message) => {
    expect(problems(overrides)).toContainEqual(expect.stringContaining(message));
  });

  test("no two of these share a message", () => {
    const messages = cases.map(([, overrides, message]) =>
      problems(overrides).find((problem) => problem.includes(message)),
    );
    expect(new Set(messages.map((message) => message?.replace(/"[^"]*"/g, ""))).size).toBeGreaterThanOrEqual(
      cases.length - 2,
    );
  });

  test("organization keys that exist already count", () => {
    expect(problems({ flows: [flow("A", { endpointSecurityType: "organization" })] }, { a: 1 })).toEqual([]);
  });
});

describe("reading a definition", () => {
  test("a shared preprocess flow without a security type is unsecured, any other is customer_optional", () => {
    const { definition } = importDefinition(
      yaml({ ...sharedWithPreprocess, flows: [flow("Route"), flow("A"), flow("B")] }),
    );
    expect(definition.flows.map((each) => securityTypeOf(definition, each))).toEqual([
      "unsecured",
      "customer_optional",
      "customer_optional",
    ]);
  });

  test("organization keys are cut out", () => {
    const imported = importDefinition(yaml({ flows: [flow("A", { organizationApiKeys: ["k1"] })] }));
    expect(imported.organizationApiKeys).toEqual({ a: ["k1"] });
    expect(JSON.stringify(imported.definition)).not.toContain("k1");
  });

  test.each([
    ["not yaml: [", "not YAML"],
    ["definitionVersion: 6\nname: x", "definitionVersion"],
    ["definitionVersion: 7\nname: x\nflows: []", "has no flows"],
    [yaml({ flows: [flow("A"), flow("A")] }), "Two flows have the name"],
    [yaml({ preprocessFlowName: "Nope", endpointType: "instance_specific" }), "no flow named"],
    [`a: &a [x,x,x,x]\n${"b: [*a,*a,*a,*a]\n".repeat(1)}c: ${"[*a,".repeat(1)}*a]`, "definitionVersion"],
  ])("%j is refused", (text, message) => {
    expect(() => importDefinition(text)).toThrow(DefinitionError);
    expect(() => importDefinition(text)).toThrow(message);
  });
});
