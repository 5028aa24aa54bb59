/** Config variables of every type: what may be set, and what flow code is given. Real planes, real spectral. */
import { beforeAll, describe, expect, test } from "vitest";
import { cronProblem, scheduleOfConfigVar, timeZoneProblem } from "../shared/configSchedule.ts";
import { DefinitionError } from "../shared/definition.ts";
import { importDefinition } from "../shared/importDefinition.ts";
import {
  api,
  configure,
  configVariables,
  connectionInput,
  deploy,
  newCustomer,
  newInstance,
} from "./support/configuredInstance.ts";
import { planesOfFile } from "./support/planesOfFile.ts";
import { publishFixture } from "./support/publishAndDeploy.ts";
import { sendWebhook } from "./support/sendWebhook.ts";

const acme = connectionInput("Acme", { username: "someone", password: "hidden-password" });
const warehouse = { key: "Warehouse", value: "york" };

describe("config variables", () => {
  const planes = planesOfFile();
  let versionId: string;
  beforeAll(async () => {
    versionId = (await publishFixture(planes, "configured")).versionId;
  });

  const seenBy = async (url: string) => (await sendWebhook(url, { body: {} })).json.configVars;

  test("reach flow code in the types that spectral promises", async () => {
    const customer = await newCustomer(planes, "types");
    const id = await newInstance(planes, versionId, customer, [acme, warehouse]);
    const first = await deploy(planes, id);
    expect(first.errors).toEqual([]);
    expect(await seenBy(first.url)).toEqual({
      Name: "Nobody",
      Count: 5,
      Active: false,
      Day: "2026-01-31",
      Moment: "2026-01-31T08:30:00Z",
      Kind: "a",
      Code: "{}",
      Tags: ["x"],
      Limits: [{ key: "low", value: 1 }],
      When: { value: "", schedule_type: "none", time_zone: "Europe/Berlin" },
      Objects: [{ object: { key: "Account" } }],
      Mapping: { fields: [{ field: { key: "Account name" } }] },
      Form: { size: 1 },
      Note: "for the organization",
      Warehouse: "york",
      Nickname: "you",
      Acme: {
        key: "acme",
        configVarKey: "Acme",
        fields: {
          username: "someone",
          password: "hidden-password",
          domain: "acme.example",
          baseUrl: "https://acme.example/api",
        },
      },
    });

    expect(
      await configure(planes, id, [
        { key: "Name", value: "Ada" },
        { key: "Count", value: "7.5" },
        { key: "Active", value: "TRUE" },
        { key: "Tags", value: '["one","two"]' },
        { key: "Limits", value: '{"low":1,"high":"9"}' },
        { key: "When", value: "*/5 * * * *", timeZone: "America/New_York" },
        { key: "Form", value: '{"size":3}' },
        connectionInput("Acme", { domain: "acme.test" }),
      ]),
    ).toEqual([]);
    // What is set counts with the next deploy.
    expect((await seenBy(first.url)).Name).toBe("Nobody");
    expect((await deploy(planes, id)).errors).toEqual([]);
    expect(await seenBy(first.url)).toMatchObject({
      Name: "Ada",
      Count: 7.5,
      Active: true,
      Tags: ["one", "two"],
      Limits: [
        { key: "low", value: 1 },
        { key: "high", value: 9 },
      ],
      When: { value: "*/5 * * * *", schedule_type: "custom", time_zone: "America/New_York" },
      Form: { size: 3 },
      Acme: {
        fields: { username: "someone", password: "hidden-password", baseUrl: "https://acme.test/api" },
      },
    });
  });

  test("are refused one by one where a value is not of their type, and nothing is changed", async () => {
    const id = await newInstance(planes, versionId, await newCustomer(planes, "wrong"));
    const wrong: Record<string, string> = {
      Count: "many",
      Active: "perhaps",
      Day: "31.1.2026",
      Moment: "noon",
      Kind: "c",
      Tags: "x",
      Limits: '{"low":"few"}',
      When: "every now and then",
      Objects: '[{"fields":[]}]',
      Mapping: "[]",
      Form: "{",
      Nickname: "of a user",
      Nothing: "1",
    };
    const inputs = Object.entries(wrong).map(([key, value]) => ({ key, value }));
    const [{ field, messages }] = await configure(planes, id, [
      { key: "Name", value: "kept out" },
      ...inputs,
      { key: "When", value: "* * * * *", timeZone: "Europe/Nowhere" },
      { key: "When", value: "* * * * *", scheduleType: "sometimes" },
      { key: "Acme", value: "not a list of fields" },
      connectionInput("Acme", { usernam: "someone" }),
    ]);
    expect(field).toBe("configVariables");
    expect(messages).toHaveLength(inputs.length + 4);
    for (const [index, { key }] of inputs.entries()) expect(messages[index]).toContain(`"${key}"`);
    expect(messages[6]).toMatch(/value of "low" must be a number/);
    expect(messages.at(-1)).toMatch(/no field "usernam"/);
    expect((await configVariables(planes, id))["Name"].value).toBeNull();
  });

  test("that are missing keep the deploy back, each by name", async () => {
    const id = await newInstance(planes, versionId, await newCustomer(planes, "missing"));
    expect((await deploy(planes, id)).errors).toEqual([
      { field: "__all__", messages: [expect.stringMatching(/: "Acme", "Warehouse"\.$/)] },
    ]);
    expect(
      await configure(planes, id, [warehouse, connectionInput("Acme", { username: "someone" })]),
    ).toEqual([]);
    // A field that the component can't do without is still missing.
    expect((await deploy(planes, id)).errors[0].messages[0]).toMatch(/: "Acme"\.$/);
    expect((await configVariables(planes, id))["Acme"]).toMatchObject({
      status: "PENDING",
      isConfigured: false,
    });
  });

  test("and the pages that they stand on can be read of the version", async () => {
    const { integration } = await api(
      planes,
      `query ($id: ID!) { integration(id: $id) { configPages requiredConfigVariables { nodes {
        key dataType codeLanguage timeZone userLevelConfigured hasDataSource meta inputs { nodes { name meta } } } } } }`,
      { id: versionId },
    );
    const pages = JSON.parse(integration.configPages);
    expect(pages.map((page: { name: string }) => page.name)).toEqual(["General", "Connections", "Mine"]);
    expect(pages[0].elements[0]).toEqual({ type: "htmlElement", value: "<h2>Welcome</h2>" });
    expect(pages[0].tagline).toBe("What is wanted");
    expect(pages[2].userLevelConfigured).toBe(true);
    const nodes: { key: string }[] = integration.requiredConfigVariables.nodes;
    const byKey = Object.fromEntries(nodes.map((node) => [node.key, node]));
    expect(byKey["Code"]).toMatchObject({ dataType: "CODE", codeLanguage: "json" });
    expect(byKey["When"]).toMatchObject({ timeZone: "Europe/Berlin" });
    expect(byKey["Nickname"]).toMatchObject({ userLevelConfigured: true });
    expect(byKey["Warehouse"]).toMatchObject({ dataType: "PICKLIST", hasDataSource: true });
    expect(JSON.stringify(byKey["Acme"])).toContain("username");
  });
});

describe("a schedule in a config variable", () => {
  test("says when it runs", () => {
    const at = (value: string, schedule_type: string, time_zone = "") =>
      scheduleOfConfigVar({ value, schedule_type, time_zone });
    expect(at("", "none")).toEqual({ kind: "never" });
    expect(at("", "")).toEqual({ kind: "never" });
    expect(at("", "once")).toEqual({ kind: "once" });
    expect(at("", "hour")).toEqual({ kind: "cron", cron: "0 * * * *", timeZone: "" });
    expect(at("*/5 * * * *", "minute", "Europe/Berlin")).toEqual({
      kind: "cron",
      cron: "*/5 * * * *",
      timeZone: "Europe/Berlin",
    });
    expect(scheduleOfConfigVar(undefined)).toEqual({ kind: "never" });
    expect(cronProblem("* * * * *")).toBeNull();
    expect(cronProblem("61 * * * *")).toMatch(/cron expression/);
    expect(timeZoneProblem("Europe/Berlin")).toBeNull();
    expect(timeZoneProblem("Berlin")).toMatch(/"Berlin"/);
  });
});

describe("a definition", () => {
  const yaml = (variables: string) => `
definitionVersion: 7
name: Variables
requiredConfigVars:
${variables}
flows:
  - name: One
    steps: [{ name: T, action: { key: webhook, component: { key: webhook-triggers, isPublic: true } } }]
`;

  test("with a type that there is not, or a key twice, or a connection that instances share, is refused", () => {
    const import_ = (variables: string) => () => importDefinition(yaml(variables));
    expect(import_("  - { key: A, dataType: colour }")).toThrow(/must be one of string/);
    expect(import_("  - { key: A, dataType: string }\n  - { key: A, dataType: string }")).toThrow(
      /the key "A"/,
    );
    expect(import_("  - { key: A, dataType: connection, useScopedConfigVar: acme }")).toThrow(
      DefinitionError,
    );
    expect(import_("  - { key: A, dataType: connection, useScopedConfigVar: acme }")).toThrow(
      /scoped connection "acme"/,
    );
  });
});
