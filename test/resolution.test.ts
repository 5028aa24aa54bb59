import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Definition, Flow } from "../shared/definition.ts";
import { type RequestSource, selectFromRequest } from "../shared/references.ts";
import { chooseCustomer, chooseFlow, chooseUser, compileRouting, type Select } from "../shared/resolution.ts";

const flow = (name: string): Flow => ({
  name,
  stableKey: `key-${name}`,
  description: "",
  isSynchronous: false,
  securityType: null,
  acceptedContentTypes: null,
  steps: [],
  hasTriggerCode: false,
});

const definition = (overrides: Partial<Definition>): Definition => ({
  name: "x",
  description: "",
  category: "",
  labels: [],
  externalVersion: "",
  documentation: "",
  isCodeNative: false,
  endpointType: "shared_instance",
  preprocessFlow: null,
  flowNameReference: null,
  externalCustomerIdReference: null,
  externalCustomerUserIdReference: null,
  flows: [],
  requiredConfigVars: [],
  bundles: {},
  ...overrides,
});

const selectFrom = (data: unknown, headers: Record<string, string> = {}): Select => {
  const source: RequestSource = {
    header: (name) => headers[name],
    queryParameter: () => undefined,
    body: { data, contentType: "" },
  };
  return (reference) => selectFromRequest(reference, source);
};

describe("choosing a flow", () => {
  const rules = compileRouting(
    definition({ flowNameReference: "body.data.flow", flows: [flow("A"), flow("B")] }),
  );

  test("by its exact name", () => {
    expect(chooseFlow(rules, rules, selectFrom({ flow: "A" }))).toMatchObject({
      ok: true,
      flow: { name: "A" },
    });
    expect(chooseFlow(rules, rules, selectFrom({ flow: "a" }))).toMatchObject({
      ok: false,
      code: "FLOW_NOT_FOUND",
    });
    expect(chooseFlow(rules, rules, selectFrom({ flow: "A " }))).toMatchObject({ ok: false });
  });

  test("the reason names what was looked for and what is there", () => {
    const verdict = chooseFlow(rules, rules, selectFrom({ flow: "C" }));
    expect(verdict).toMatchObject({ reason: 'There is no flow named "C". Flows: "A", "B".' });
  });

  test("a version with one flow needs no name, but a wrong name is still wrong", () => {
    const single = compileRouting(definition({ flowNameReference: "body.data.flow", flows: [flow("A")] }));
    expect(chooseFlow(single, single, selectFrom({}))).toMatchObject({ ok: true });
    expect(chooseFlow(single, single, selectFrom({ flow: "B" }))).toMatchObject({ ok: false });
  });

  test("the preprocess flow itself can't be routed to", () => {
    const withPreprocess = compileRouting(
      definition({
        preprocessFlow: "key-P",
        flowNameReference: "flow",
        flows: [flow("P"), flow("A"), flow("B")],
      }),
    );
    expect(withPreprocess.flowsByName.has("P")).toBe(false);
  });

  test("is looked for in the customer's own version, by the endpoint's reference", () => {
    const older = compileRouting(
      definition({ flowNameReference: "headers.old", flows: [flow("Old"), flow("Older")] }),
    );
    expect(chooseFlow(rules, older, selectFrom({ flow: "Old" }))).toMatchObject({
      ok: true,
      flow: { name: "Old" },
    });
    expect(chooseFlow(rules, older, selectFrom({ flow: "A" }))).toMatchObject({ ok: false });
  });

  test("names with NUL bytes and lone surrogates are compared as they are, and shown safely", () => {
    const odd = compileRouting(
      definition({ flowNameReference: "body.data.flow", flows: [flow("a\0b"), flow("B")] }),
    );
    expect(chooseFlow(odd, odd, selectFrom({ flow: "a\0b" }))).toMatchObject({ ok: true });
    const refused = chooseFlow(odd, odd, selectFrom({ flow: "\ud800" }));
    expect(refused).toMatchObject({ ok: false });
    expect("reason" in refused && refused.reason.isWellFormed()).toBe(true);
  });
});

describe("choosing a customer and a user", () => {
  const rules = compileRouting(
    definition({
      externalCustomerIdReference: "body.data.customer",
      externalCustomerUserIdReference: "headers.user",
      flows: [flow("A")],
    }),
  );
  const users = [{ externalId: "u1" }, { externalId: null }];

  test("a number routes like its text; nothing, null and objects do not", () => {
    expect(chooseCustomer(rules, selectFrom({ customer: 42 }))).toEqual({ ok: true, externalId: "42" });
    for (const customer of [undefined, null, {}, [], ""]) {
      expect(chooseCustomer(rules, selectFrom({ customer }))).toMatchObject({
        ok: false,
        code: "CUSTOMER_NOT_FOUND",
      });
    }
  });

  test("a user who is not there is refused like a customer who is not", () => {
    expect(chooseUser(rules, users, selectFrom({}, { user: "u1" }))).toMatchObject({
      ok: true,
      user: { externalId: "u1" },
    });
    expect(chooseUser(rules, users, selectFrom({}, { user: "u2" }))).toMatchObject({
      ok: false,
      code: "CUSTOMER_USER_NOT_FOUND",
    });
    expect(chooseUser(rules, users, selectFrom({}))).toMatchObject({
      ok: false,
      code: "CUSTOMER_USER_NOT_FOUND",
    });
  });
});

describe("against a plain model", () => {
  const name = fc.constantFrom("A", "B", "C", "a", "", "__proto__");
  const definitions = fc
    .record({
      names: fc.uniqueArray(
        name.filter((each) => each !== ""),
        { minLength: 1 },
      ),
      hasReference: fc.boolean(),
      preprocess: fc.boolean(),
    })
    .map(({ names, hasReference, preprocess }) =>
      definition({
        flows: names.map(flow),
        flowNameReference: hasReference ? "body.data.flow" : null,
        preprocessFlow: preprocess && !hasReference ? `key-${names[0]}` : null,
      }),
    );

  function model(endpoint: Definition, own: Definition, sent: string | undefined): string | null {
    const names = own.flows.map((each) => each.name).filter((each) => `key-${each}` !== own.preprocessFlow);
    const asked = endpoint.flowNameReference === null ? undefined : sent;
    if (asked === undefined) return names.length === 1 ? names[0]! : null;
    return names.includes(asked) ? asked : null;
  }

  test("the chosen flow is the model's, for any two versions and any sent name", () => {
    fc.assert(
      fc.property(definitions, definitions, fc.option(name, { nil: undefined }), (endpoint, own, sent) => {
        const verdict = chooseFlow(
          compileRouting(endpoint),
          compileRouting(own),
          selectFrom(sent === undefined ? {} : { flow: sent }),
        );
        expect(verdict.ok ? verdict.flow.name : null).toBe(model(endpoint, own, sent));
      }),
      { numRuns: 1000 },
    );
  });
});
