/** Who may read and change what: the whole schema, walked as each role over the data of two customers. */
import { encode } from "@msgpack/msgpack";
import {
  buildClientSchema,
  type GraphQLSchema,
  getIntrospectionQuery,
  getNamedType,
  isInputObjectType,
  isRequiredArgument,
} from "graphql";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { newId, parseNodeId, toNodeId } from "../shared/ids.ts";
import type { ExecutionEvent, RejectionEvent, StoredRequest } from "../shared/reports.ts";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { type GraphqlAnswer, rawGraphql } from "./support/graphql.ts";
import { rootDocument, selectionOf, valueFor } from "./support/schemaWalk.ts";

// A walk is thousands of queries: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000 });

/** In everything of the other customer, and of the organization, that a customer must not see. */
const theirs = "THEIRS-7c1f";
const ofOrganization = "ORGANIZATION-9b2e";

/** Every object is a start of its own, so each way from one to the next is gone. */
const depth = 2;

/** Fields of objects that customers see, which are for the organization only. */
const organizationFields = [
  "Instance.crossFlowState",
  "Instance.integrationState",
  "InstanceFlowConfig.instanceState",
  "Integration.allowedAddresses",
  "Integration.definition",
  "Integration.draft",
  "Integration.endpointConfig",
  "Integration.organizationKeys",
  "Integration.sharedVersion",
  "Integration.systemInstance",
  "Integration.testConfigVariables",
  "Integration.versionAttributes",
  "Integration.versionCreatedBy",
  "Integration.versionSequence",
  "IntegrationAction.action",
  "IntegrationFlow.organizationKeys",
  "Organization.signingKeys",
  "Organization.tokens",
  "Organization.users",
  // Of other users: a user's own are for the user to see.
  "User.tokens",
];

type Role = "MEMBER" | "CUSTOMER_ADMIN" | "CUSTOMER_MEMBER";

interface CustomerData {
  externalId: string;
  customer: string;
  admin: string;
  member: string;
  instance: string;
  flowConfigs: string[];
  keys: string[];
  variables: string[];
  executions: string[];
  /** Of executions: logs and step results. */
  parts: string[];
  rejections: string[];
  tokens: Record<"admin" | "member", string>;
  tokenIds: string[];
}

let plane: TestControlPlane;
let schema: GraphQLSchema;
let integration: { draft: string; version: string; flowIds: string[]; organizationKey: string };
let mine: CustomerData;
let other: CustomerData;
let memberToken: string;
/** What nobody of a customer may see: the draft, the key of the organization, the executions of nobody. */
let hiddenIds: string[];
/** One of each type of each of their owners. */
let hiddenSamples: string[];

/** What the walks of all queries were answered, before anything was changed. */
const walked = new Map<Role, string[]>();

beforeAll(async () => {
  plane = await testControlPlane();
  schema = buildClientSchema(await plane.api(getIntrospectionQuery()));
  integration = await publish("Shared");
  const hidden = await publish(`Hidden ${theirs}`);
  mine = await makeCustomer("MINE-5d3a", "mine", integration.version);
  other = await makeCustomer(theirs, "theirs", integration.version, hidden.version);
  const nobody = await report(null, ofOrganization);
  const user = await makeUser("createOrganizationUser", "member@example.com", "organization-member", "");
  memberToken = (await makeToken(user, ofOrganization)).token;
  const groups = [
    idsOf(other),
    [...nobody.executions, ...nobody.parts, ...nobody.rejections],
    [hidden.draft, hidden.organizationKey, hidden.version, ...hidden.flowIds, user],
    [integration.draft, integration.organizationKey],
  ];
  hiddenIds = groups.flat();
  hiddenSamples = groups.flatMap(oneOfEachType);
});
afterAll(() => plane?.stop());

describe("a customer's user", () => {
  test.each<Role>(["CUSTOMER_ADMIN", "CUSTOMER_MEMBER"])(
    "reads its own customer and nothing of another one by any query (%s)",
    async (role) => {
      const answers = await walkQueries(role);
      walked.set(role, answers);
      const text = answers.join("\n");
      for (const own of ["MINE-5d3a", mine.customer, mine.instance, ...mine.executions, ...mine.keys]) {
        expect([own, text.includes(own)]).toEqual([own, true]);
      }
      for (const secret of secretsOf()) {
        const found = answers.find((answer) => answer.includes(secret));
        expect([secret, found?.slice(0, 300)]).toEqual([secret, undefined]);
      }
    },
  );

  test.each<Role>(["CUSTOMER_ADMIN", "CUSTOMER_MEMBER"])(
    "counts the flow's part of its executions only, and is denied these fields (%s)",
    async (role) => {
      const { data } = await ask(
        role,
        `query ($id: ID!) {
          executionResult(id: $id) { logs { totalCount } stepResults { totalCount } }
          logs(executionResult: $id) { totalCount }
          executionSections(executionResult: $id) { totalCount }
        }`,
        { id: mine.executions[0]! },
      );
      const one = { totalCount: 1 };
      expect(data).toEqual({
        executionResult: { logs: one, stepResults: one },
        logs: one,
        executionSections: one,
      });
      // Found by the walk: any other one would have been left out of it unseen.
      expect([...deniedFields(role)].filter((field) => !/^(Query|Mutation)\./.test(field)).sort()).toEqual(
        organizationFields,
      );
    },
  );

  test.each<Role>(["CUSTOMER_ADMIN", "CUSTOMER_MEMBER"])(
    "finds no object of another customer, nor of the organization, by its id (%s)",
    async (role) => {
      const unknown = await nodeOf(role, toNodeId("Instance", newId()));
      for (const id of hiddenIds) {
        const answer = await nodeOf(role, id);
        expect(withoutId(answer, id)).toEqual(withoutId(unknown, ""));
      }
      const nodes = await ask(role, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {
        ids: hiddenIds.slice(0, 100),
      });
      expect(nodes.data.nodes.filter((node: unknown) => node !== null)).toEqual([]);
      for (const id of [mine.instance, ...mine.executions, ...mine.parts, ...mine.keys, ...mine.variables]) {
        expect((await nodeOf(role, id)).data.node).toMatchObject({ id });
      }
    },
  );

  test("gets the same answers, counts and errors among them, when the other customer grows", async () => {
    const before = walked.get("CUSTOMER_ADMIN") ?? (await walkQueries("CUSTOMER_ADMIN"));
    const more = await report(other, theirs);
    other.executions.push(...more.executions);
    other.parts.push(...more.parts);
    other.rejections.push(...more.rejections);
    await makeKey(other.flowConfigs[0]!, theirs);
    await makeUser(
      "createCustomerUser",
      `${theirs}-2@example.com`,
      "customer-member",
      theirs,
      other.customer,
    );
    const after = await walkQueries("CUSTOMER_ADMIN");
    const different = before.findIndex((answer, index) => answer !== after[index]);
    expect([different, before[different], after.length]).toEqual([-1, undefined, before.length]);
  });

  test.each<Role>(["CUSTOMER_ADMIN", "CUSTOMER_MEMBER"])(
    "changes nothing of another customer by any mutation, and can't tell that it is there (%s)",
    async (role) => {
      const before = await everythingOf(other);
      await allowedMutations(role);
      for (const name of mutationNames()) {
        // A mutation that the role may not send is refused before it looks at its input.
        for (const id of isDenied(role, name) ? hiddenSamples.slice(0, 1) : hiddenSamples) {
          const { type } = parseNodeId(id)!;
          const [answer, unknown] = [
            await mutate(role, name, id),
            await mutate(role, name, toNodeId(type as never, newId())),
          ];
          const shown = JSON.stringify(withoutId(answer, id));
          for (const secret of secretsOf()) if (secret !== id) expect(shown).not.toContain(secret);
          // Executions' parts have ids of their own shape: what is wrong with them is their shape.
          if (!parseNodeId(id)!.id.includes("/") && !isOwnAffair(name)) {
            expect([name, shown]).toEqual([name, JSON.stringify(withoutId(unknown, ""))]);
          }
        }
      }
      expect(await everythingOf(other)).toEqual(before);
    },
  );

  test("makes, rotates and revokes keys of its own instances as an admin only", async () => {
    const create = `mutation ($id: ID!) { createApiKey(input: { flowConfig: $id, name: "x" }) { apiKey { id } errors { messages } } }`;
    const revoke = `mutation ($id: ID!) { revokeApiKey(input: { id: $id }) { apiKey { id } errors { messages } } }`;
    const variables = { id: mine.flowConfigs[0]! };
    expect(codesOf(await ask("CUSTOMER_MEMBER", create, variables))).toEqual(["FORBIDDEN"]);
    const { createApiKey } = (await ask("CUSTOMER_ADMIN", create, variables)).data;
    expect(createApiKey.errors).toEqual([]);
    const made = { id: createApiKey.apiKey.id };
    expect(codesOf(await ask("CUSTOMER_MEMBER", revoke, made))).toEqual(["FORBIDDEN"]);
    expect((await ask("CUSTOMER_ADMIN", revoke, made)).data.revokeApiKey.errors).toEqual([]);
  });

  test("manages keys by these mutations, configures what is its own, and changes nothing else but its tokens", async () => {
    const configures = [
      "createUserLevelConfig",
      "deleteUserLevelConfig",
      "disconnectConnection",
      "disconnectUserLevelConnection",
      "fetchConfigWizardPageContent",
      "fetchDataSourceContent",
      "updateUserLevelConfig",
    ];
    const keys = ["createApiKey", "revokeApiKey", "rotateApiKey", "updateApiKey"];
    const tokens = ["createAccessToken", "revokeAccessToken"];
    expect(await allowedMutations("CUSTOMER_ADMIN")).toEqual([...configures, ...keys, ...tokens].sort());
    // Of connections and the wizard it reaches what each user sets for itself.
    expect(await allowedMutations("CUSTOMER_MEMBER")).toEqual([...configures, ...tokens].sort());
  });
});

describe("a member of the organization", () => {
  test("reads what an admin reads, of every customer", async () => {
    const text = (await walkQueries("MEMBER")).join("\n");
    for (const marker of [theirs, ofOrganization, "MINE-5d3a"]) expect(text.includes(marker)).toBe(true);
    for (const id of [...idsOf(other), integration.draft, integration.organizationKey].filter(
      (id) => !other.tokenIds.includes(id),
    )) {
      expect((await nodeOf("MEMBER", id)).data.node).toMatchObject({ id });
    }
    expect([...deniedFields("MEMBER")].filter((field) => !/^Query\.feed/.test(field)).sort()).toEqual([
      "Instance.crossFlowState",
      "Instance.integrationState",
      "InstanceFlowConfig.instanceState",
      "Organization.tokens",
      "Query.masterKeys",
      "Query.uploadMedia",
      "User.tokens",
    ]);
  });

  test("changes nothing but its own tokens", async () => {
    expect(await allowedMutations("MEMBER")).toEqual(["createAccessToken", "revokeAccessToken"]);
  });
});

describe("the schema", () => {
  test("has a rule for every root field, and for every type that has ids of its own", async () => {
    const { schema: built } = await import("../control-plane/schema/index.ts");
    const roots = [built.getQueryType()!, built.getMutationType()!, built.getSubscriptionType()!];
    const ruleOf = (item: { extensions: Readonly<Record<string, unknown>> }): unknown =>
      (item.extensions["pothosOptions"] as { authScopes?: unknown } | undefined)?.authScopes;
    const fields = roots.flatMap((root) =>
      Object.values(root.getFields())
        .filter((field) => ruleOf(field) === undefined)
        .map((field) => `${root.name}.${field.name}`),
    );
    expect(fields).toEqual([]);
    const types = Object.values(built.getTypeMap()).filter(
      (type) => "getInterfaces" in type && type.getInterfaces().some(({ name }) => name === "Node"),
    );
    expect(types.length).toBeGreaterThan(10);
    expect(types.filter((type) => ruleOf(type) === undefined).map(({ name }) => name)).toEqual([]);
  });

  test("gives a data plane its own fields only, and nobody without a token anything", async () => {
    for (const [name, field] of Object.entries(schema.getQueryType()!.getFields())) {
      const args = Object.fromEntries(
        field.args
          .filter(isRequiredArgument)
          .map((arg) => [arg.name, valueFor(arg.type, other.instance, "x")]),
      );
      const { document, variables } = rootDocument(schema, "query", name, args, 1, new Set());
      const nobody = await rawGraphql(plane.url, null, document, variables);
      expect([nobody.status, codesOf(nobody)]).toEqual([401, ["UNAUTHENTICATED"]]);
      if (name.startsWith("feed")) continue;
      const answer = await rawGraphql(plane.url, plane.dataPlaneToken, document, variables);
      expect([name, codesOf(answer)]).toEqual([name, ["FORBIDDEN"]]);
    }
  });
});

/** Fields that the role was found to be denied. */
const denials = new Map<Role, Set<string>>();
function deniedFields(role: Role): Set<string> {
  const known = denials.get(role) ?? new Set<string>();
  denials.set(role, known);
  return known;
}

const isDenied = (role: Role, mutation: string): boolean => deniedFields(role).has(`Mutation.${mutation}`);

const tokenOf = (role: Role): string =>
  role === "MEMBER" ? memberToken : mine.tokens[role === "CUSTOMER_ADMIN" ? "admin" : "member"];

const ask = (role: Role, document: string, variables: Record<string, unknown>): Promise<GraphqlAnswer> =>
  rawGraphql(plane.url, tokenOf(role), document, variables);

/** Sends what `make` writes, without the fields that turn out to be denied. */
async function askAllowed(
  role: Role,
  make: (denied: Set<string>) => { document: string; variables: Record<string, unknown> },
): Promise<GraphqlAnswer> {
  const denied = deniedFields(role);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { document, variables } = make(denied);
    const answer = await ask(role, document, variables);
    const found = (answer.errors ?? []).flatMap(({ message }) => {
      const field = /permission to use (\w+\.\w+)\./.exec(message)?.[1];
      return field === undefined || denied.has(field) ? [] : [field];
    });
    for (const field of found) denied.add(field);
    // Nothing may stay unseen because it would have been too much at once.
    expect((answer.errors ?? []).filter(({ message }) => /exceeds maximum/.test(message))).toEqual([]);
    if (found.length === 0 || found.some((field) => /^(Query|Mutation)\./.test(field))) return answer;
  }
  throw new Error("Fields are denied without end.");
}

/** Every query field: as it is, and with each filter set to what is the other customer's. */
async function walkQueries(role: Role): Promise<string[]> {
  const answers: string[] = [];
  const own = [...idsOf(mine), integration.version, ...integration.flowIds];
  const ids = [...oneOfEachType(own), ...hiddenSamples];
  const seen = new Set<string>();
  for (const [name, field] of Object.entries(schema.getQueryType()!.getFields())) {
    if (name === "node" || name === "nodes") continue;
    const required = field.args.filter(isRequiredArgument);
    const variants: Record<string, unknown>[] = [];
    const base = (id: string) =>
      Object.fromEntries(required.map((arg) => [arg.name, valueFor(arg.type, id, theirs)]));
    const needsId = required.some((arg) => getNamedType(arg.type).name === "ID");
    for (const id of needsId ? ids : [""]) variants.push(base(id));
    for (const arg of field.args.filter((candidate) => !isRequiredArgument(candidate))) {
      const type = getNamedType(arg.type).name;
      if (
        ["first", "last", "before", "after"].includes(arg.name) ||
        isInputObjectType(getNamedType(arg.type))
      )
        continue;
      const values = type === "ID" ? hiddenSamples : [theirs];
      const start = needsId ? mine.executions[0]! : "";
      for (const value of values) {
        variants.push({ ...base(start), [arg.name]: valueFor(arg.type, value, theirs) });
      }
    }
    for (const args of variants) {
      const answer = await askAllowed(role, (denied) =>
        rootDocument(schema, "query", name, args, depth, denied),
      );
      const given = Object.values(args).filter((value): value is string => typeof value === "string");
      // What was sent may come back: only what was not known before counts.
      const text = given.reduce((left, value) => left.replaceAll(value, "(sent)"), shown(answer));
      answers.push(`${name} ${text}`);
      seen.add(name);
    }
  }
  for (const id of own) answers.push(shown(await nodeOf(role, id)));
  expect(seen.size).toBeGreaterThan(20);
  return answers;
}

async function nodeOf(role: Role, id: string): Promise<GraphqlAnswer> {
  const type = schema.getType(parseNodeId(id)!.type);
  return askAllowed(role, (denied) => ({
    document: `query ($id: ID!) { node(id: $id) { id ${type === undefined ? "" : `... on ${type.name} ${selectionOf(type, depth, denied)}`} } }`,
    variables: { id },
  }));
}

/** Every mutation but those of data planes, which nobody here may send. */
const mutationNames = (): string[] => Object.keys(schema.getMutationType()!.getFields());

/** Makes something of the caller's own whatever id is sent along, or answers with what it made. */
const isOwnAffair = (name: string): boolean => name === "createAccessToken";

function mutate(role: Role, name: string, id: string): Promise<GraphqlAnswer> {
  const field = schema.getMutationType()!.getFields()[name]!;
  const input = valueFor(field.args[0]!.type, id, "some text of sixteen") as Record<string, unknown>;
  // A key is for a flow config, or for an integration: with both, it would fail before it is looked for.
  delete input["clientMutationId"];
  if (name === "createApiKey") {
    const { flowConfig, integration: of, ...rest } = input;
    const isFlowConfig = parseNodeId(id)!.type === "InstanceFlowConfig";
    Object.assign(input, rest);
    if (isFlowConfig) delete input["integration"];
    else delete input["flowConfig"];
    input["flow"] = isFlowConfig ? null : "Main";
    expect([flowConfig, of]).toEqual([id, id]);
  }
  return askAllowed(role, (denied) => rootDocument(schema, "mutation", name, { input }, depth, denied));
}

async function allowedMutations(role: Role): Promise<string[]> {
  const allowed: string[] = [];
  for (const name of mutationNames()) {
    const answer = await mutate(role, name, toNodeId("Instance", newId()));
    if (!codesOf(answer).includes("FORBIDDEN")) allowed.push(name);
  }
  return allowed.sort();
}

/** The customer as an admin sees it, to compare. */
async function everythingOf(data: CustomerData): Promise<string[]> {
  const answers: string[] = [];
  for (const id of idsOf(data)) {
    const type = schema.getType(parseNodeId(id)!.type)!;
    const document = `query ($id: ID!) { node(id: $id) { id ... on ${type.name} ${selectionOf(type, depth, new Set())} } }`;
    answers.push(shown({ status: 200, errors: undefined, data: await plane.api(document, { id }) }));
  }
  return answers;
}

const codesOf = (answer: GraphqlAnswer): unknown[] =>
  (answer.errors ?? []).map((error) => error.extensions?.["code"]);

/** The answer without what differs each time: signatures, and when a token was last used. */
const shown = ({ data, errors }: GraphqlAnswer): string =>
  JSON.stringify({ data, errors }, (key, value: unknown) =>
    key === "resultsUrl" || key === "requestPayloadUrl" || key === "lastUsedAt" ? null : decoded(key, value),
  );

/** Bodies of requests are base64: read them, so that nothing hides in them. */
const decoded = (key: string, value: unknown): unknown =>
  key === "body" && typeof value === "string" ? Buffer.from(value, "base64").toString("utf8") : value;

function withoutId({ status, data, errors }: GraphqlAnswer, id: string): unknown {
  const text = JSON.stringify({ status, data, errors });
  return JSON.parse(
    (id === "" ? text : text.replaceAll(id, "")).replaceAll(
      /\\?"[A-Za-z0-9+/]{40,}=*\\?" is not/g,
      '\\"\\" is not',
    ),
  );
}

const idsOf = (data: CustomerData): string[] => [
  data.customer,
  data.admin,
  data.member,
  data.instance,
  ...data.flowConfigs,
  ...data.keys,
  ...data.variables,
  ...data.executions,
  ...data.parts,
  ...data.rejections,
  ...data.tokenIds,
];

const oneOfEachType = (ids: string[]): string[] => [
  ...new Map(ids.map((id) => [parseNodeId(id)!.type, id])).values(),
];

/** Texts and ids that no customer but theirs may read. */
const secretsOf = (): string[] => [
  theirs,
  ofOrganization,
  ...hiddenIds,
  ...hiddenIds.map((id) => parseNodeId(id)!.id.split("/")[0]!).filter((id) => !mine.executions.includes(id)),
];

async function publish(name: string): Promise<typeof integration> {
  const { importIntegration } = await plane.api(
    `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) {
      integration { id } errors { field messages } } }`,
    { definition: definition(name) },
  );
  expect(importIntegration.errors).toEqual([]);
  const draft = importIntegration.integration.id;
  const { publishIntegration } = await plane.api(
    `mutation ($id: ID!) { publishIntegration(input: { id: $id }) { integration { id flows { nodes { id } } } errors { field messages } } }`,
    { id: draft },
  );
  expect(publishIntegration.errors).toEqual([]);
  const { createApiKey } = await plane.api(
    `mutation ($id: ID!) { createApiKey(input: { integration: $id, flow: "Main", name: "${ofOrganization}" }) { apiKey { id } errors { messages } } }`,
    { id: draft },
  );
  const { id: version, flows } = publishIntegration.integration;
  const flowIds = flows.nodes.map((flow: { id: string }) => flow.id);
  return { draft, version, flowIds, organizationKey: createApiKey.apiKey.id };
}

const definition = (name: string): string => `
definitionVersion: 7
name: ${name}
endpointType: instance_specific
preprocessFlowName: Pre
flowNameField: results.flowName
requiredConfigVars:
  - { key: Region, stableKey: region, dataType: string }
  - { key: Hidden, stableKey: hidden, dataType: string, orgOnly: true }
flows:
${["Pre", "Main"]
  .map(
    (flow) => `  - name: ${flow}
    stableKey: ${flow}-${name.replaceAll(" ", "-")}
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
      - name: Work
        action: { key: runCode, component: { key: code, version: LATEST, isPublic: true } }
        inputs: { code: { type: value, value: "module.exports = async () => ({ data: 1 });" } }`,
  )
  .join("\n")}
`;

/** A customer with users, tokens, an instance of each version, keys, executions and rejections. */
async function makeCustomer(
  marker: string,
  externalId: string,
  ...versions: string[]
): Promise<CustomerData> {
  const { createCustomer } = await plane.api(
    `mutation ($name: String!, $externalId: String!) { createCustomer(input: { name: $name, externalId: $externalId, description: $name, labels: [$name] }) { customer { id } } }`,
    { name: marker, externalId: `${marker}-${externalId}` },
  );
  const customer: string = createCustomer.customer.id;
  const admin = await makeUser(
    "createCustomerUser",
    `${marker}-a@example.com`,
    "customer-admin",
    marker,
    customer,
  );
  const member = await makeUser(
    "createCustomerUser",
    `${marker}-m@example.com`,
    "customer-member",
    marker,
    customer,
  );
  const [adminToken, ownToken] = [await makeToken(admin, marker), await makeToken(member, marker)];
  const data: CustomerData = {
    externalId,
    customer,
    admin,
    member,
    instance: "",
    flowConfigs: [],
    keys: [],
    variables: [],
    executions: [],
    parts: [],
    rejections: [],
    tokens: { admin: adminToken.token, member: ownToken.token },
    // A user's own tokens; the other user's are looked for as if they were a stranger's.
    tokenIds: [],
  };
  if (marker === theirs) data.tokenIds.push(adminToken.id, ownToken.id);
  for (const version of versions) {
    const { createInstance } = await plane.api(
      `mutation ($input: CreateInstanceInput!) { createInstance(input: $input) {
        instance { id flowConfigs { nodes { id } } configVariables { nodes { id } } } errors { messages } } }`,
      {
        input: {
          name: marker,
          description: marker,
          labels: [marker],
          integration: version,
          customer,
          configVariables: [
            { key: "Region", value: marker },
            { key: "Hidden", value: ofOrganization },
          ],
        },
      },
    );
    const { instance } = createInstance;
    data.instance = instance.id;
    data.flowConfigs.push(...instance.flowConfigs.nodes.map((node: { id: string }) => node.id));
    data.variables.push(...instance.configVariables.nodes.map((node: { id: string }) => node.id));
    const deployed = await plane.api(
      `mutation ($id: ID!) { deployInstance(input: { id: $id }) { errors { messages } } }`,
      { id: instance.id },
    );
    expect(deployed.deployInstance.errors).toEqual([]);
  }
  data.keys.push(await makeKey(data.flowConfigs[1]!, marker));
  const reported = await report(data, marker);
  data.executions.push(...reported.executions);
  data.parts.push(...reported.parts);
  // Rejections are the organization's: no customer reads its own either.
  if (marker === theirs) data.rejections.push(...reported.rejections);
  return data;
}

async function makeUser(
  mutation: "createCustomerUser" | "createOrganizationUser",
  email: string,
  role: string,
  marker: string,
  customer?: string,
): Promise<string> {
  const isCustomers = mutation === "createCustomerUser";
  const data = await plane.api(
    `mutation ($email: String!, $role: ID!, $marker: String!${isCustomers ? ", $customer: ID!" : ""}) {
      ${mutation}(input: { email: $email, role: $role, name: $marker, phone: $marker${isCustomers ? ", customer: $customer" : ""} }) { user { id } errors { messages } } }`,
    { email, role, marker: marker || ofOrganization, customer },
  );
  expect(data[mutation].errors).toEqual([]);
  return data[mutation].user.id;
}

async function makeToken(user: string, name: string): Promise<{ token: string; id: string }> {
  const { createUserToken } = await plane.api(
    `mutation ($user: ID!, $name: String!) { createUserToken(input: { user: $user, name: $name }) { token userToken { id } } }`,
    { user, name },
  );
  return { token: createUserToken.token, id: createUserToken.userToken.id };
}

async function makeKey(flowConfig: string, name: string): Promise<string> {
  const { createApiKey } = await plane.api(
    `mutation ($id: ID!, $name: String!) { createApiKey(input: { flowConfig: $id, name: $name }) { apiKey { id } errors { messages } } }`,
    { id: flowConfig, name },
  );
  expect(createApiKey.errors).toEqual([]);
  return createApiKey.apiKey.id;
}

type Reported = Pick<CustomerData, "executions" | "parts" | "rejections">;

/** An execution that went well, one that failed, and a rejection, as a data plane reports them. */
async function report(data: CustomerData | null, marker: string): Promise<Reported> {
  const [first, second, rejection] = [newId(), newId(), newId()] as const;
  const events = [execution(first, data, marker, false), execution(second, data, marker, true)];
  const refused: RejectionEvent = {
    kind: "rejection",
    id: rejection,
    atMs: Date.now(),
    code: "FLOW_NOT_FOUND",
    status: 422,
    reason: data === null ? marker : `${marker} ${ofOrganization}`,
    requestId: marker,
    integrationId: idIn(integration.draft),
    instanceId: data && idIn(data.instance),
    customerId: data && idIn(data.customer),
    method: "POST",
    remoteAddress: "192.0.2.1",
    count: 1,
    request: requestOf(marker),
  };
  const answer = await plane.as(
    plane.dataPlaneToken,
    `mutation ($events: JSON!) { reportEvents(input: { dataPlaneId: "dp", events: $events }) { errors { field messages } } }`,
    { events: [...events, refused] },
  );
  expect(answer.reportEvents.errors).toEqual([]);
  const isHidden = data === null || marker === theirs;
  // Of the own executions only the flow's part: that of the preprocess flow is hidden.
  const sequences = isHidden ? [1, 2, 3, 4] : [2, 4];
  return {
    executions: [first, second].map((id) => toNodeId("InstanceExecutionResult", id)),
    parts: [first, second].flatMap((id) =>
      sequences.map((sequence) =>
        toNodeId(sequence > 2 ? "InstanceStepResult" : "Log", `${id}/1/${sequence}`),
      ),
    ),
    rejections: [toNodeId("Rejection", rejection)],
  };
}

function execution(id: string, data: CustomerData | null, marker: string, isFailed: boolean): ExecutionEvent {
  const now = Date.now();
  const section = "01890000-0000-7000-8000-00000000000";
  return {
    kind: "execution",
    id,
    attempt: 1,
    sequence: 1,
    invokeType: "WEBHOOK",
    startedAtMs: now,
    isDebug: false,
    target: {
      integrationId: idIn(integration.draft),
      versionId: idIn(integration.version),
      versionNumber: 1,
      instanceId: data && idIn(data.instance),
      customerId: data && idIn(data.customer),
      customerUserId: null,
      flowId: data && idIn(integration.flowIds[1]!),
      flowConfigId: data && idIn(data.flowConfigs[1]!),
      flowStableKey: "Main-Shared",
      flowName: "Main",
      preprocessFlowName: ofOrganization,
    },
    request: requestOf(marker),
    replayOf: null,
    invokedBy: null,
    logs: (["PREPROCESS", "FLOW"] as const).map((part, index) => ({
      part,
      sequence: index + 1,
      atMs: now,
      severity: "INFO",
      message: part === "FLOW" ? marker : ofOrganization,
      stepName: part === "FLOW" ? marker : ofOrganization,
      sectionId: `${section}${index}`,
    })),
    steps: (["PREPROCESS", "FLOW"] as const).map((part, index) => ({
      part,
      sequence: index + 3,
      stepName: part === "FLOW" ? marker : ofOrganization,
      stepStableKey: part === "FLOW" ? marker : ofOrganization,
      startedAtMs: now,
      endedAtMs: now,
      error: part === "FLOW" ? marker : ofOrganization,
      results: Buffer.from(encode({ data: marker, contentType: "" })).toString("base64"),
      isTruncated: false,
    })),
    sections: (["PREPROCESS", "FLOW"] as const).map((part, index) => ({
      sectionId: `${section}${index}`,
      label: part === "FLOW" ? marker : ofOrganization,
      startedAtMs: now,
    })),
    finish: {
      status: isFailed ? "FAILED" : "SUCCEEDED",
      endedAtMs: now,
      // Why routing failed names what was there to find: it is the organization's.
      errorCode: isFailed ? "FLOW_NOT_FOUND" : null,
      error: isFailed ? `${ofOrganization} has flows of ${theirs}` : null,
      answerStatus: isFailed ? 422 : 200,
    },
  };
}

const requestOf = (marker: string): StoredRequest => ({
  method: "POST",
  pathFragment: `/${marker}`,
  query: `a=${marker}`,
  headers: [["X-Marker", marker]],
  body: Buffer.from(JSON.stringify({ marker })).toString("base64"),
  keyHmacs: [],
  remoteAddress: "192.0.2.1",
  receivedAtMs: Date.now(),
  requestId: marker,
  token: "token",
});

const idIn = (nodeId: string): string => parseNodeId(nodeId)!.id;
