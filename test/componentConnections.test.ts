/** Connections and data sources of a component of one's own, in a low-code integration. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { BuiltComponent } from "../shared/scripts/bundleIntegration.ts";
import { importBuilt, publishDraft } from "../shared/scripts/publishIntegration.ts";
import {
  api,
  configVariables,
  connectionInput,
  deploy,
  newCustomer,
  newInstance,
} from "./support/configuredInstance.ts";
import { buildFixture } from "./support/fixtures.ts";
import { planesOfFile } from "./support/planesOfFile.ts";
import { sendWebhook } from "./support/sendWebhook.ts";

const component = "{ key: switchyard-fixture-shop, version: LATEST, isPublic: false }";
const yaml = (connectionKey = "basic", sourceKey = "shelves") => `
definitionVersion: 7
name: Shop
requiredConfigVars:
  - key: Shop Login
    stableKey: login
    dataType: connection
    connection: { key: ${connectionKey}, component: ${component} }
    inputs: { username: { type: value, value: "" }, password: { type: value, value: "" } }
  - key: Shelf
    stableKey: shelf
    dataType: picklist
    dataSource: { key: ${sourceKey}, component: ${component} }
    inputs: { login: { type: configVar, value: Shop Login } }
flows:
  - name: Visit
    stableKey: visit
    isSynchronous: true
    steps:
      - name: Trigger
        isTrigger: true
        action: { key: webhook, component: { key: webhook-triggers, version: LATEST, isPublic: true } }
      - name: Go
        action: { key: visit, component: ${component} }
        inputs:
          login: { type: configVar, value: Shop Login }
          greeting: { type: template, value: "hello shelf {{#Shelf}}" }
`;

describe("a component of one's own", () => {
  const planes = planesOfFile();
  let versionId: string;
  beforeAll(async () => {
    const folder = await buildFixture("shop-component");
    const loaded = createRequire(import.meta.url)(join(folder, "index.js")).default as BuiltComponent;
    const display = { label: loaded.display.label, description: loaded.display.description };
    const integrationId = await importBuilt(planes.api, {
      folder,
      yaml: yaml(),
      component: { ...loaded, display },
    });
    versionId = (await publishDraft(planes.api, integrationId, "first")).versionId;
  });

  test("is called with its connection, hidden defaults and templates included", async () => {
    const id = await newInstance(planes, versionId, await newCustomer(planes, "shopper"), [
      connectionInput("Shop Login", { username: "ada", password: "a-secret-password" }),
    ]);
    expect((await configVariables(planes, id))["Shop Login"]).toMatchObject({ status: "ACTIVE" });
    const { fetchConfigWizardPageContent } = await api(
      planes,
      `mutation ($id: ID!) { fetchConfigWizardPageContent(input: { id: $id }) { fetchConfigWizardPageContentResult { content } errors { messages } } }`,
      { id },
    );
    expect(JSON.parse(fetchConfigWizardPageContent.fetchConfigWizardPageContentResult.content)).toEqual({
      Shelf: [
        { key: "1", label: "Shelf 1 of shopper at https://ada@shop.example/" },
        { key: "2", label: "Shelf 2 of shopper at https://ada@shop.example/" },
      ],
    });
    await api(
      planes,
      `mutation ($id: ID!) { updateInstanceConfigVariables(input: { id: $id, configVariables: [{ key: "Shelf", value: "2" }] }) { errors { messages } } }`,
      { id },
    );
    const { errors, url } = await deploy(planes, id);
    expect(errors).toEqual([]);
    expect((await sendWebhook(url, { body: {} })).json).toEqual({
      greeting: "HELLO SHELF 2",
      login: {
        key: "basic",
        configVarKey: "Shop Login",
        fields: {
          username: "ada",
          password: "a-secret-password",
          host: "shop.example",
          url: "https://ada@shop.example/",
        },
      },
    });
  });

  test("that has no such connection or data source is refused on import, by name", async () => {
    const { importIntegration } = await api(
      planes,
      `mutation ($definition: String!) { importIntegration(input: { definition: $definition }) { errors { field messages } } }`,
      { definition: yaml("bearer", "drawers") },
    );
    expect(importIntegration.errors).toEqual([
      {
        field: "definition",
        messages: [
          'Config variable "Shop Login": component "switchyard-fixture-shop" has no connection "bearer".',
          'Config variable "Shelf": component "switchyard-fixture-shop" has no data source "drawers".',
        ],
      },
    ]);
  });
});
