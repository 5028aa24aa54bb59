/** What the API takes from whom: tokens of users, rates, sizes, content types, documents, the schema. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { graphql, rawGraphql } from "./support/graphql.ts";
import { bootControlPlane } from "./support/planes.ts";

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await testControlPlane();
});
afterAll(() => plane?.stop());

const me = `{ authenticatedUser { id name role { name } } }`;

async function newUser(email: string, role: string): Promise<{ id: string; token: string }> {
  const { createOrganizationUser } = await plane.api(
    `mutation ($email: String!, $role: ID!) { createOrganizationUser(input: { email: $email, role: $role }) { user { id } errors { messages } } }`,
    { email, role },
  );
  const { id } = createOrganizationUser.user;
  const { createUserToken } = await plane.api(
    `mutation ($id: ID!) { createUserToken(input: { user: $id }) { token } }`,
    { id },
  );
  return { id, token: createUserToken.token };
}

const createToken = async (token: string, input: Record<string, unknown>) =>
  (
    await plane.as(
      token,
      `mutation ($input: CreateAccessTokenInput!) { createAccessToken(input: $input) {
        token userToken { id name expiresAt lastUsedAt } errors { field messages } } }`,
      { input },
    )
  ).createAccessToken;

const revokeToken = async (token: string, id: string) =>
  (
    await plane.as(
      token,
      `mutation ($id: ID!) { revokeAccessToken(input: { id: $id }) { userToken { revokedAt } errors { field } } }`,
      { id },
    )
  ).revokeAccessToken;

describe("a user's own tokens", () => {
  test("are made, listed, used and revoked by the user", async () => {
    const user = await newUser("own@example.com", "organization-member");
    const made = await createToken(user.token, { name: "laptop" });
    expect(made).toMatchObject({ errors: [], userToken: { name: "laptop", expiresAt: null } });
    expect((await plane.as(made.token, me)).authenticatedUser.id).toBe(user.id);
    const { authenticatedUser } = await plane.as(
      made.token,
      `{ authenticatedUser { tokens { totalCount nodes { id name } } } }`,
    );
    expect(authenticatedUser.tokens.totalCount).toBe(2);
    expect(authenticatedUser.tokens.nodes[0]).toEqual({ id: made.userToken.id, name: "laptop" });
    expect((await revokeToken(user.token, made.userToken.id)).userToken.revokedAt).not.toBeNull();
    expect((await rawGraphql(plane.url, made.token, me)).status).toBe(401);
  });

  test("end when they say", async () => {
    const user = await newUser("ends@example.com", "organization-member");
    const made = await createToken(user.token, {
      name: "short",
      expiresAt: new Date(Date.now() + 700).toISOString(),
    });
    expect((await rawGraphql(plane.url, made.token, me)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect((await rawGraphql(plane.url, made.token, me)).status).toBe(401);
    const past = await createToken(user.token, { name: "past", expiresAt: "2020-01-01T00:00:00Z" });
    expect(past.errors).toEqual([{ field: "expiresAt", messages: ["This moment has passed."] }]);
  });

  test("are nobody else's to see or revoke, but an admin's", async () => {
    const one = await newUser("one@example.com", "organization-member");
    const two = await newUser("two@example.com", "organization-member");
    const made = await createToken(one.token, { name: "of one" });
    const id = made.userToken.id;
    expect((await revokeToken(two.token, id)).errors).toEqual([{ field: "id" }]);
    const read = `query ($id: ID!) { node(id: $id) { id } }`;
    expect((await plane.as(two.token, read, { id })).node).toBeNull();
    expect((await plane.as(one.token, read, { id })).node).toEqual({ id });
    expect((await plane.api(read, { id })).node).toEqual({ id });
    const { user } = await plane.as(
      one.token,
      `query ($id: ID!) { user(id: $id) { tokens { totalCount } } }`,
      {
        id: one.id,
      },
    );
    expect(user.tokens.totalCount).toBe(2);
  });

  test("do what the user's role says at each request, and end with the user", async () => {
    const user = await newUser("changing@example.com", "organization-member");
    const create = `mutation { createCustomer(input: { name: "x" }) { errors { messages } } }`;
    expect(await plane.refusal(user.token, create)).toHaveLength(1);
    await plane.api(
      `mutation ($id: ID!) { updateUser(input: { id: $id, role: "organization-admin" }) { errors { messages } } }`,
      { id: user.id },
    );
    expect(await plane.refusal(user.token, create)).toEqual([]);
    const wrong = await plane.api(
      `mutation ($id: ID!) { updateUser(input: { id: $id, role: "customer-admin" }) { errors { field } } }`,
      { id: user.id },
    );
    expect(wrong.updateUser.errors).toEqual([{ field: "role" }]);
    await plane.api(`mutation ($id: ID!) { deleteUser(input: { id: $id }) { errors { field } } }`, {
      id: user.id,
    });
    expect((await rawGraphql(plane.url, user.token, me)).status).toBe(401);
  });

  test("say when they were last used, at the latest when the server has stopped", async () => {
    const own = await bootControlPlane();
    const api = (token: string, document: string, variables?: Record<string, unknown>) =>
      graphql(own.controlUrl, token, document, variables);
    const lastUsed = `{ authenticatedUser { tokens { nodes { lastUsedAt } } } }`;
    try {
      const { createOrganizationUser } = await api(
        own.adminToken,
        `mutation { createOrganizationUser(input: { email: "a@example.com", role: "organization-member" }) { user { id } } }`,
      );
      const { createUserToken } = await api(
        own.adminToken,
        `mutation ($id: ID!) { createUserToken(input: { user: $id }) { token } }`,
        createOrganizationUser.user,
      );
      const before = await api(createUserToken.token, lastUsed);
      expect(before.authenticatedUser.tokens.nodes).toEqual([{ lastUsedAt: null }]);
      await own.control.stop();
      await own.control.start();
      const { tokens } = (await api(createUserToken.token, lastUsed)).authenticatedUser;
      expect(Date.now() - Date.parse(tokens.nodes[0].lastUsedAt)).toBeLessThan(20_000);
    } finally {
      await own.stop();
    }
  });
});

describe("the API refuses", () => {
  const post = (init: { headers?: Record<string, string>; body?: string; method?: string }, query = "") =>
    fetch(`${plane.url}/api${query}`, {
      method: "POST",
      body: JSON.stringify({ query: me }),
      ...init,
      headers: {
        Authorization: "Bearer admin-token-of-the-test",
        "Content-Type": "application/json",
        ...init.headers,
      },
    });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/graphql",
  ])("a body that a form could send (%s)", async (contentType) => {
    expect((await post({ headers: { "Content-Type": contentType } })).status).toBe(415);
  });

  test("reading and changing by GET", async () => {
    const headers = { Authorization: "Bearer admin-token-of-the-test" };
    const answer = await fetch(`${plane.url}/api?query=${encodeURIComponent(me)}`, { headers });
    expect(answer.status).toBe(405);
    const stream = { ...headers, Accept: "text/event-stream" };
    expect(
      (await fetch(`${plane.url}/api?query=${encodeURIComponent(me)}`, { headers: stream })).status,
    ).toBe(405);
  });

  test("to show GraphiQL to nobody: the page itself loads", async () => {
    const answer = await fetch(`${plane.url}/api`, { headers: { Accept: "text/html" } });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain("GraphiQL");
  });

  test("large bodies: 64 KB of nobody, 1 MB of a user, 32 MB of an admin", async () => {
    const user = await newUser("large@example.com", "organization-member");
    const status = async (token: string | null, bytes: number): Promise<number> =>
      (await rawGraphql(plane.url, token, me, { filler: "x".repeat(bytes) })).status;
    expect(await status(null, 70_000)).toBe(413);
    expect(await status(user.token, 900_000)).toBe(200);
    expect(await status(user.token, 1_100_000)).toBe(413);
    expect(await status("admin-token-of-the-test", 2_000_000)).toBe(200);
  });

  test("documents with more than 100 aliases, or too long", async () => {
    const aliases = (count: number): string =>
      `{ ${Array.from({ length: count }, (_, index) => `a${index}: organization { name }`).join(" ")} }`;
    expect((await rawGraphql(plane.url, "admin-token-of-the-test", aliases(100))).errors).toBeUndefined();
    expect(await plane.refusal("admin-token-of-the-test", aliases(101))).toEqual([
      "A document may have 100 aliases at most.",
    ]);
    const long = `{ organization { name } } #${"x".repeat(100_000)}`;
    expect((await plane.refusal("admin-token-of-the-test", long)).join()).toMatch(/100000 characters/);
  });

  test("nested pages that multiply, deep documents, and large pages", async () => {
    const pages = `{ customers { nodes { instances { nodes { executionResults { nodes { logs { nodes { message } } } } } } } } }`;
    expect((await plane.refusal("admin-token-of-the-test", pages)).join()).toMatch(/complexity/);
    const small = pages.replaceAll(/(customers|instances|executionResults|logs) /g, "$1(first: 5) ");
    expect(await plane.refusal("admin-token-of-the-test", small)).toEqual([]);
    const deep = `{ integrations(first: 1) { nodes ${"{ draft ".repeat(16)}{ id }${" }".repeat(17)} }`;
    expect((await plane.refusal("admin-token-of-the-test", deep)).join()).toMatch(/depth/);
    expect(
      await plane.refusal("admin-token-of-the-test", `{ customers(first: 101) { totalCount } }`),
    ).toEqual(["first must be from 0 to 100."]);
  });
});

describe("the schema is shown", () => {
  const introspection = `{ __schema { queryType { name } } __type(name: "User") { name } }`;

  test("to those who are signed in, by default", async () => {
    const user = await newUser("schema@example.com", "organization-member");
    expect((await rawGraphql(plane.url, user.token, introspection)).data.__schema.queryType.name).toBe(
      "Query",
    );
    const nobody = await rawGraphql(plane.url, null, introspection);
    expect([nobody.status, nobody.data]).toEqual([401, undefined]);
    // Nor by hints on what might have been meant.
    const hint = await rawGraphql(plane.url, null, `{ customerz { id } }`);
    expect(JSON.stringify(hint)).not.toMatch(/customers/);
  });

  test.each([
    ["everyone", 200, true],
    ["off", 401, false],
  ])("by the setting %s", async (setting, status, isShown) => {
    const own = await testControlPlane({ SWITCHYARD_INTROSPECTION: setting });
    try {
      expect((await rawGraphql(own.url, null, introspection)).status).toBe(status);
      const nobody = await rawGraphql(own.url, null, me);
      expect(nobody.errors?.[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
      const admin = await own.refusal("admin-token-of-the-test", introspection);
      expect(admin.length === 0).toBe(isShown);
    } finally {
      await own.stop();
    }
  });
});

describe("the rate of requests", () => {
  test("is limited by token, and by address without one; data planes are not", async () => {
    const own = await testControlPlane({ SWITCHYARD_API_REQUESTS_PER_SECOND: "2" });
    try {
      const many = (token: string | null) =>
        Promise.all(Array.from({ length: 12 }, () => fetchMe(own.url, token)));
      for (const token of ["admin-token-of-the-test", null, "no-such-token"]) {
        const answers = await many(token);
        const refused = answers.filter((answer) => answer.status === 429);
        expect(refused.length).toBeGreaterThanOrEqual(6);
        expect(Number(refused[0]!.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      }
      expect((await many(own.dataPlaneToken)).filter((answer) => answer.status === 429)).toEqual([]);
      // Those without a valid token have used up their own bucket only.
      await new Promise((resolve) => setTimeout(resolve, 1100));
      expect((await fetchMe(own.url, "admin-token-of-the-test")).status).toBe(200);
    } finally {
      await own.stop();
    }
  });

  const fetchMe = (url: string, token: string | null): Promise<Response> =>
    fetch(`${url}/api`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query: me }),
    });
});
