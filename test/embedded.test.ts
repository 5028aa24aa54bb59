/** Users of embedded customers: what the organization's own backend signs is let in, and nothing else. */
import { createHmac, createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { type JWTPayload, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestControlPlane, testControlPlane } from "./support/controlPlane.ts";
import { rawGraphql } from "./support/graphql.ts";

let plane: TestControlPlane;
let customerId: string;
const ed25519 = generateKeyPairSync("ed25519");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

beforeAll(async () => {
  plane = await testControlPlane();
  const made = await plane.api(
    `mutation { createCustomer(input: { name: "Acme", externalId: "acme" }) { customer { id } } }`,
  );
  customerId = made.createCustomer.customer.id;
  await imported(rsa.publicKey);
  await imported(ed25519.publicKey);
});
afterAll(() => plane.stop());

describe("a token that the organization has signed", () => {
  test.each([
    ["EdDSA", ed25519.privateKey],
    ["RS256", rsa.privateKey],
  ])("with %s makes the customer's user when first seen, and finds it again", async (alg, key) => {
    const sub = `user-of-${alg}`;
    const token = await sign(key, { alg, claims: { sub, name: "Ann" } });
    const me = await whoIs(token);
    expect(me).toMatchObject({ name: "Ann", role: { name: "Member" }, customer: { id: customerId } });
    expect((await whoIs(await sign(key, { alg, claims: { sub } }))).id).toBe(me.id);
    const { customer } = await plane.api(
      `query ($id: ID!) { customer(id: $id) { users { nodes { id externalId name } } } }`,
      { id: customerId },
    );
    const ofSub = customer.users.nodes.filter((user: { externalId: string }) => user.externalId === sub);
    expect(ofSub).toEqual([{ id: me.id, externalId: sub, name: "Ann" }]);
    const { auditLog } = await plane.api(
      `query ($id: ID!) { auditLog(objectId: $id) { nodes { action outcome remoteAddress } } }`,
      { id: me.id },
    );
    expect(auditLog.nodes).toEqual([
      { action: "embeddedUserFirstSeen", outcome: "SUCCEEDED", remoteAddress: "127.0.0.1" },
    ]);
  });

  test("makes one user, however many requests come first", async () => {
    const token = await sign(ed25519.privateKey, { claims: { sub: "in-a-hurry" } });
    const answers = await Promise.all(Array.from({ length: 20 }, () => whoIs(token)));
    expect(new Set(answers.map((me) => me.id)).size).toBe(1);
  });

  test("says by its role whether it may manage keys", async () => {
    const admin = await sign(ed25519.privateKey, { claims: { sub: "chief", role: "admin" } });
    expect((await whoIs(admin)).role.name).toBe("Admin");
    const revoke = `mutation { revokeApiKey(input: { id: "nothing" }) { errors { field } } }`;
    expect((await plane.as(admin, revoke)).revokeApiKey.errors).toEqual([{ field: "id" }]);
    const member = await sign(ed25519.privateKey, { claims: { sub: "clerk" } });
    expect(await plane.refusal(member, revoke)).toEqual([
      expect.stringContaining("You don't have permission"),
    ]);
  });

  test("names the key that it was signed with by kid, and is refused where that is another", async () => {
    const keys = await signingKeys();
    const right = keys.find((key) => key.publicKey === pemOf(ed25519.publicKey))!;
    const wrong = keys.find((key) => key.publicKey === pemOf(rsa.publicKey))!;
    await whoIs(await sign(ed25519.privateKey, { header: { kid: right.id } }));
    await whoIs(await sign(ed25519.privateKey, { header: { kid: "a name of their own" } }));
    await expectRefused(await sign(ed25519.privateKey, { header: { kid: wrong.id } }));
  });

  test("can't be turned into a token that lasts", async () => {
    const token = await sign(ed25519.privateKey, {});
    const { createAccessToken } = await plane.as(
      token,
      `mutation { createAccessToken(input: { name: "for ever" }) { token errors { messages } } }`,
    );
    expect(createAccessToken.token).toBeNull();
    expect(createAccessToken.errors[0].messages[0]).toMatch(/short-lived/);
  });

  test("is refused after its key was removed", async () => {
    const pair = generateKeyPairSync("ed25519");
    const id = await imported(pair.publicKey);
    const token = await sign(pair.privateKey, {});
    await whoIs(token);
    await plane.api(
      `mutation ($id: ID!) { deleteOrganizationSigningKey(input: { id: $id }) { organizationSigningKey { id } } }`,
      { id },
    );
    await expectRefused(token);
  });

  test("is refused once the customer is gone", async () => {
    const { createCustomer } = await plane.api(
      `mutation { createCustomer(input: { name: "Gone", externalId: "gone" }) { customer { id } } }`,
    );
    const token = await sign(ed25519.privateKey, { claims: { customer: "gone" } });
    await whoIs(token);
    await plane.api(`mutation ($id: ID!) { deleteCustomer(input: { id: $id }) { errors { field } } }`, {
      id: createCustomer.customer.id,
    });
    await expectRefused(token);
  });
});

describe("refused is a token", () => {
  const now = (): number => Math.floor(Date.now() / 1000);

  test("without a signature (alg none)", async () => {
    await expectRefused(`${part({ alg: "none", typ: "JWT" })}.${part(claimsOf({}))}.`);
    await expectRefused(`${part({ alg: "None" })}.${part(claimsOf({}))}.`);
  });

  test("signed with HS256 and a public key as the secret", async () => {
    for (const pair of [rsa, ed25519]) {
      for (const secret of [pemOf(pair.publicKey), pemOf(pair.publicKey).trim()]) {
        const head = `${part({ alg: "HS256" })}.${part(claimsOf({}))}`;
        await expectRefused(`${head}.${createHmac("sha256", secret).update(head).digest("base64url")}`);
      }
    }
  });

  test.each(["RS384", "RS512", "PS256"])("signed with %s", async (alg) => {
    await expectRefused(await sign(rsa.privateKey, { alg }));
  });

  test("signed by ES256 with a key that is not there", async () => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await expectRefused(await sign(pair.privateKey, { alg: "ES256" }));
  });

  test("signed by an unknown key of the right kind", async () => {
    await expectRefused(await sign(generateKeyPairSync("ed25519").privateKey, {}));
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    await expectRefused(await sign(pair.privateKey, { alg: "RS256" }));
  });

  test("whose algorithm is changed after it was signed", async () => {
    const [, claims, signature] = (await sign(rsa.privateKey, { alg: "RS256" })).split(".");
    await expectRefused(`${part({ alg: "EdDSA" })}.${claims}.${signature}`);
  });

  test("whose claims are changed after it was signed", async () => {
    const [head, , signature] = (await sign(ed25519.privateKey, {})).split(".");
    await expectRefused(`${head}.${part(claimsOf({ role: "admin" }))}.${signature}`);
  });

  test.each<[string, Record<string, unknown>]>([
    ["has no exp", { exp: undefined }],
    ["has an exp that is a text", { exp: String(now() + 600) }],
    ["has expired", { exp: now() - 1 }],
    ["lasts two hours", { exp: now() + 7200 }],
    ["lasts longer than an hour from its iat", { iat: now() - 600, exp: now() + 3500 }],
    ["is from the future", { iat: now() + 600, exp: now() + 1200 }],
    ["is not valid yet", { nbf: now() + 600 }],
    ["has no sub", { sub: undefined }],
    ["has an empty sub", { sub: "" }],
    ["has a sub that is a number", { sub: 7 }],
    ["has no customer", { customer: undefined }],
    ["names an unknown customer", { customer: "nobody" }],
    ["names the customer by its id", { customer: "ID" }],
    ["names the test customer", { customer: "testCustomerExternalId" }],
    ["has an unknown role", { role: "organization-admin" }],
  ])("that %s", async (_what, claims) => {
    const given = claims["customer"] === "ID" ? { ...claims, customer: customerId } : claims;
    await expectRefused(await sign(ed25519.privateKey, { claims: given }));
  });

  test("with a critical header that is not known", async () => {
    const head = part({ alg: "EdDSA", crit: ["exp"], exp: 1 });
    await expectRefused(`${head}.${part(claimsOf({}))}.AAAA`);
  });

  test("that is no JWT at all", async () => {
    for (const token of ["a.b.c", "..", "eyJhbGciOiJub25lIn0.e30.", `${"a".repeat(9000)}.b.c`]) {
      await expectRefused(token);
    }
  });
});

describe("signing keys", () => {
  test("that are generated are RSA with 4096 bits, and their private key is shown once", async () => {
    const { createOrganizationSigningKey: made } = await plane.api(
      `mutation { createOrganizationSigningKey(input: {}) {
        result { privateKey organizationSigningKey { id publicKey privateKeyPreview imported } }
      } }`,
    );
    const key = createPrivateKey(made.result.privateKey);
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(4096);
    expect((await whoIs(await sign(key, { alg: "RS256" }))).customer.id).toBe(customerId);
    const { privateKeyPreview } = made.result.organizationSigningKey;
    expect(privateKeyPreview).toMatch(/^••••.{4}$/);
    expect(made.result.privateKey).toContain(privateKeyPreview.slice(-4));
    expect(JSON.stringify(await signingKeys())).not.toContain("PRIVATE KEY");
  });

  test("that are imported must be public, strong, of a known kind, and new", async () => {
    const messages = async (publicKey: string): Promise<string> =>
      (await importKey(publicKey)).errors[0].messages.join(" ");
    expect(await messages(rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString())).toMatch(
      /private key/,
    );
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
    expect(await messages(pemOf(weak.publicKey))).toMatch(/2048/);
    const curve = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(await messages(pemOf(curve.publicKey))).toMatch(/RSA or Ed25519/);
    expect(await messages("no key")).toMatch(/RSA or Ed25519/);
    expect(await messages(pemOf(rsa.publicKey))).toMatch(/already/);
  });
});

async function importKey(publicKey: string) {
  const data = await plane.api(
    `mutation ($publicKey: String!) { importOrganizationSigningKey(input: { publicKey: $publicKey }) {
      organizationSigningKey { id } errors { field messages }
    } }`,
    { publicKey },
  );
  return data.importOrganizationSigningKey;
}

const imported = async (key: KeyObject): Promise<string> =>
  (await importKey(pemOf(key))).organizationSigningKey.id;

async function signingKeys(): Promise<{ id: string; publicKey: string }[]> {
  const { organization } = await plane.api(`{ organization { signingKeys { nodes { id publicKey } } } }`);
  return organization.signingKeys.nodes;
}

async function whoIs(token: string) {
  const { authenticatedUser } = await plane.as(
    token,
    `{ authenticatedUser { id name role { name } customer { id } } }`,
  );
  return authenticatedUser;
}

async function expectRefused(token: string): Promise<void> {
  const answer = await rawGraphql(plane.url, token, `{ authenticatedUser { id } }`);
  expect(answer.status).toBe(401);
  expect(answer.errors?.map((error) => error.extensions?.["code"])).toEqual(["UNAUTHENTICATED"]);
  expect(answer.data).toBeUndefined();
}

interface Signing {
  alg?: string;
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
}

function sign(key: KeyObject, { alg = "EdDSA", claims = {}, header = {} }: Signing): Promise<string> {
  return new SignJWT(claimsOf(claims) as JWTPayload).setProtectedHeader({ alg, ...header }).sign(key);
}

const claimsOf = (claims: Record<string, unknown>): Record<string, unknown> => ({
  sub: "u1",
  customer: "acme",
  exp: Math.floor(Date.now() / 1000) + 600,
  ...claims,
});

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const pemOf = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();
