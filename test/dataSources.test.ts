/** Data sources of the wizard: run on a data plane with what an instance was configured with so far. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { api, configure, connectionInput, newCustomer, newInstance } from "./support/configuredInstance.ts";
import { graphql } from "./support/graphql.ts";
import { bootPlanes, type TestPlanes } from "./support/planes.ts";
import { publishFixture } from "./support/publishAndDeploy.ts";
import { waitFor } from "./support/waitFor.ts";

const password = "a-password-of-the-wizard";

describe("a data source", () => {
  let planes: TestPlanes;
  let id: string;
  let customer: string;
  beforeAll(async () => {
    planes = await bootPlanes({ environment: { SWITCHYARD_RUN_BLOCKED_TIMEOUT_MS: "1000" } });
    const { versionId } = await publishFixture(planes, "configured");
    customer = await newCustomer(planes, "wizard");
    id = await newInstance(planes, versionId, customer, [
      connectionInput("Acme", { username: "someone", password }),
    ]);
  });
  afterAll(() => planes?.stop());

  const pageContent = async (pageName: string, token = planes.adminToken) =>
    (
      await graphql(
        planes.controlUrl,
        token,
        `mutation ($id: ID!, $pageName: String) { fetchConfigWizardPageContent(input: { id: $id, pageName: $pageName }) {
          fetchConfigWizardPageContentResult { content instance { configVariables { totalCount } } } errors { field messages } } }`,
        { id, pageName },
      )
    ).fetchConfigWizardPageContent;

  const sourceContent = async (configVariable: string) =>
    (
      await api(
        planes,
        `mutation ($id: ID!, $configVariable: String!) { fetchDataSourceContent(input: { id: $id, configVariable: $configVariable }) {
          fetchDataSourceContentResult { content } errors { field messages } } }`,
        { id, configVariable },
      )
    ).fetchDataSourceContent;

  test("gives the choices of a page, with the connection that was saved and not deployed yet", async () => {
    const { fetchConfigWizardPageContentResult: result, errors } = await pageContent("Connections");
    expect(errors).toEqual([]);
    expect(JSON.parse(result.content)).toEqual({
      Warehouse: [
        { key: "york", label: "York of someone at https://acme.example/api" },
        { key: "bath", label: "Bath of wizard" },
      ],
    });
    expect(result.instance.configVariables.totalCount).toBeGreaterThan(10);
    expect(JSON.parse((await pageContent("General")).fetchConfigWizardPageContentResult.content)).toEqual({});
    expect((await pageContent("Nowhere")).errors).toEqual([
      { field: "pageName", messages: ['There is no page "Nowhere".'] },
    ]);
  });

  test("is run for one config variable alone, and only where there is one", async () => {
    const { fetchDataSourceContentResult, errors } = await sourceContent("Warehouse");
    expect(errors).toEqual([]);
    expect(JSON.parse(fetchDataSourceContentResult.content)).toHaveLength(2);
    expect((await sourceContent("Name")).errors[0]).toMatchObject({ field: "configVariable" });
    expect((await sourceContent("Nothing")).errors[0]).toMatchObject({ field: "configVariable" });
  });

  test("that throws, spins or gives too much is told in a sentence without secrets, and harms nobody", async () => {
    await configure(planes, id, [
      { key: "Name", value: "fail" },
      connectionInput("Acme", { username: "someone-secret" }),
    ]);
    expect((await sourceContent("Warehouse")).errors).toEqual([
      { field: "__all__", messages: ["Acme refused [redacted]."] },
    ]);
    await configure(planes, id, [{ key: "Name", value: "huge" }]);
    expect((await sourceContent("Warehouse")).errors[0].messages[0]).toMatch(/1048576 bytes/);
    await configure(planes, id, [{ key: "Name", value: "spin" }]);
    expect((await sourceContent("Warehouse")).errors[0].messages[0]).toMatch(/block/i);
    await configure(planes, id, [{ key: "Name", value: "well again" }]);
    expect((await sourceContent("Warehouse")).errors).toEqual([]);
  });

  test("is nothing for a customer's member, and needs a data plane", async () => {
    const { customerRoles } = await api(planes, "query { customerRoles { id name } }");
    const role = customerRoles.find(({ name }: { name: string }) => !/admin/i.test(name)).id;
    const { createCustomerUser } = await api(
      planes,
      `mutation ($role: ID!, $customer: ID!) { createCustomerUser(input: { email: "m@wizard.example", role: $role, customer: $customer }) { user { id } } }`,
      { role, customer },
    );
    const { createUserToken } = await api(
      planes,
      `mutation ($user: ID!) { createUserToken(input: { user: $user, name: "test" }) { token } }`,
      { user: createCustomerUser.user.id },
    );
    expect((await pageContent("Connections", createUserToken.token)).errors[0]).toMatchObject({
      field: "id",
    });

    await planes.data.stop();
    await waitFor(async () => {
      const { errors } = await sourceContent("Warehouse");
      return /No data plane/.test(errors[0]?.messages[0] ?? "");
    }, 30_000);
    expect(planes.control.log()).not.toContain(password);
  }, 60_000);
});
