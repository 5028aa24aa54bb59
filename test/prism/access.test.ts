/** The unmodified prism CLI on users, roles and signing keys. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { graphql } from "../support/graphql.ts";
import { bootControlPlane } from "../support/planes.ts";
import { createPrism, type Prism } from "../support/prism.ts";
import { newTemporaryFolder, removeFolder } from "../support/temporaryFolder.ts";

let plane: Awaited<ReturnType<typeof bootControlPlane>>;
let prism: Prism;
let folder: string;

beforeAll(async () => {
  folder = newTemporaryFolder();
  plane = await bootControlPlane();
  prism = createPrism({ url: plane.controlUrl, token: plane.adminToken, folder });
});
afterAll(async () => {
  await plane?.stop();
  removeFolder(folder);
});

const api = (document: string, variables?: Record<string, unknown>) =>
  graphql(plane.controlUrl, plane.adminToken, document, variables);

async function tokenOf(user: string): Promise<string> {
  const { createUserToken } = await api(
    `mutation ($user: ID!) { createUserToken(input: { user: $user, name: "prism" }) { token } }`,
    { user },
  );
  return createUserToken.token;
}

describe("prism", () => {
  test("makes, lists, changes and deletes users of the organization, and lists their roles", async () => {
    const roles = await prism.rows(["organization:users:roles"]);
    expect(roles.map((role) => role["name"])).toEqual(["Admin", "Member"]);
    const member = roles.find((role) => role["name"] === "Member")!["id"]!;
    const id = await prism([
      "organization:users:create",
      "--email=susan@example.com",
      "--name=Susan",
      `--role=${member}`,
    ]);
    await prism(["organization:users:update", id, "--name=Susan Foo", "--phone=123"]);
    const users = await prism.rows(["organization:users:list"]);
    expect(users).toEqual([
      expect.objectContaining({ id, name: "Susan Foo", email: "susan@example.com", role: "Member" }),
    ]);
    const own = createPrism({ url: plane.controlUrl, token: await tokenOf(id), folder: join(folder, "own") });
    expect(await own(["me"])).toContain("Susan Foo");
    expect(await own.rows(["organization:users:list"])).toHaveLength(1);
    const refused = await own.run(["organization:users:delete", id]);
    expect(refused.code).not.toBe(0);
    expect(refused.stdout + refused.stderr).toMatch(/permission/);
    await prism(["organization:users:delete", id]);
    expect(await prism.rows(["organization:users:list"])).toEqual([]);
    expect((await own.run(["me"])).code).not.toBe(0);
  });

  test("makes, lists, changes and deletes users of a customer, and lists their roles", async () => {
    const customer = await prism(["customers:create", "--name=Acme", "--externalId=acme"]);
    const roles = await prism.rows(["customers:users:roles"]);
    expect(roles.map((role) => role["name"])).toEqual(["Admin", "Member"]);
    const id = await prism([
      "customers:users:create",
      "--name=Bob",
      "--email=bob@example.com",
      `--customer=${customer}`,
      `--role=${roles[0]!["id"]}`,
    ]);
    await prism(["customers:users:update", id, "--name=Bob Bar"]);
    expect(await prism.rows(["customers:users:list", customer])).toEqual([
      expect.objectContaining({ id, name: "Bob Bar", role: "Admin" }),
    ]);
    const own = createPrism({ url: plane.controlUrl, token: await tokenOf(id), folder: join(folder, "bob") });
    expect(await own(["me"])).toContain("Bob Bar");
    await prism(["customers:users:delete", id]);
    expect(await prism.rows(["customers:users:list", customer])).toEqual([]);
  });

  test("generates, imports, lists and deletes signing keys", async () => {
    await prism(["customers:create", "--name=Embedded", "--externalId=embedded"]);
    const pem = await prism(["organization:signing-keys:generate"]);
    const file = join(folder, "public.pem");
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const publicKey = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
    writeFileSync(file, publicKey);
    const imported = await prism(["organization:signing-keys:import", `--public-key-file=${file}`]);
    const rows = await prism.rows(["organization:signing-keys:list"]);
    expect(rows).toHaveLength(2);
    expect(rows.find((row) => row["id"] === imported)!["publicKey"]!.trim()).toBe(publicKey.trim());
    const generated = rows.find((row) => row["id"] !== imported)!;
    expect(createPublicKey(pem).equals(createPublicKey(generated["publicKey"]!))).toBe(true);

    const token = await new SignJWT({ sub: "u1", customer: "embedded", name: "Eve", role: "admin" })
      .setProtectedHeader({ alg: "RS256" })
      .setExpirationTime("10 minutes")
      .sign(createPrivateKey(pem));
    const own = createPrism({ url: plane.controlUrl, token, folder: join(folder, "eve") });
    expect(await own(["me"])).toContain("Eve");
    await prism(["organization:signing-keys:delete", generated["id"]!]);
    expect((await prism.rows(["organization:signing-keys:list"])).map((row) => row["id"])).toEqual([
      imported,
    ]);
    expect((await own.run(["me"])).code).not.toBe(0);
  });
});
