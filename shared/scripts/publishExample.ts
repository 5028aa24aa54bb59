/** Publishes and deploys one example: every step is left out where it was done before. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Api, ApiError, request } from "./apiClient.ts";
import { buildProject, loadIntegration } from "./bundleIntegration.ts";
import { type DeployedInstance, deployToCustomer } from "./deployInstance.ts";
import type { Example } from "./examples.ts";
import { findIntegrationQuery, versionsQuery } from "./operations.ts";
import { importBuilt, publishDraft } from "./publishIntegration.ts";

export const examplesFolder = join(dirname(fileURLToPath(import.meta.url)), "..", "examples");

/** The instances by the customer's external id. */
export async function publishExample(api: Api, example: Example): Promise<Map<string, DeployedInstance>> {
  let integrationId = await findIntegration(api, example.name);
  const published = integrationId === undefined ? [] : await publishedVersions(api, integrationId);
  for (const version of example.versions.slice(published.length)) {
    integrationId = await importVersion(api, example, version.entry);
    published.push(await publishDraft(api, integrationId, version.comment));
  }
  const instances = new Map<string, DeployedInstance>();
  for (const customer of example.customers) {
    const version = published[customer.versionNumber - 1];
    if (version === undefined || integrationId === undefined) {
      throw new ApiError(`${example.name} has no version ${customer.versionNumber}.`);
    }
    const instance = await deployToCustomer(api, {
      integrationId,
      versionId: version.versionId,
      instanceName: `${example.name} of ${customer.name}`,
      customer: { name: customer.name, externalId: customer.externalId },
    });
    instances.set(customer.externalId, instance);
  }
  return instances;
}

async function findIntegration(api: Api, name: string): Promise<string | undefined> {
  const { integrations } = await request(api, findIntegrationQuery, { name });
  return integrations.nodes.find((integration) => integration.name === name)?.id;
}

async function publishedVersions(api: Api, id: string): Promise<{ versionId: string }[]> {
  const { integration } = await request(api, versionsQuery, { id });
  return (integration?.versionSequence.nodes ?? []).map((version) => ({ versionId: version.id }));
}

async function importVersion(api: Api, example: Example, entry: string): Promise<string> {
  const project = join(examplesFolder, example.folder);
  const folder = await mkdtemp(join(tmpdir(), "switchyard-example-"));
  try {
    const icon = join(project, "assets", "icon.png");
    await buildProject({ entry: join(project, entry), folder, assets: existsSync(icon) ? [icon] : [] });
    return await importBuilt(api, loadIntegration(folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
