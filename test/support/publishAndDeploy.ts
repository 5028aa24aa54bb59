/** From a fixture's name to deployed instances, the way prism and the starter go. */
import { accepted, request } from "../../shared/scripts/apiClient.ts";
import { loadIntegration } from "../../shared/scripts/bundleIntegration.ts";
import { type DeployedInstance, deployToCustomer } from "../../shared/scripts/deployInstance.ts";
import { importIntegrationMutation } from "../../shared/scripts/operations.ts";
import { importBuilt, type PublishedVersion, publishDraft } from "../../shared/scripts/publishIntegration.ts";
import { buildFixture, fixtureYaml } from "./fixtures.ts";
import type { TestPlanes } from "./planes.ts";

type Reachable = Pick<TestPlanes, "api">;

/** Publishes the fixture as the next version of its integration. */
export async function publishFixture(planes: Reachable, fixture: string): Promise<PublishedVersion> {
  const integrationId = await importBuilt(planes.api, loadIntegration(await buildFixture(fixture)));
  return publishDraft(planes.api, integrationId, `Version of ${fixture}`);
}

/** The same for a fixture that is YAML only; `change` edits the text before it is imported. */
export async function publishYamlFixture(
  planes: Reachable,
  fixture: string,
  change: (yaml: string) => string = (yaml) => yaml,
): Promise<PublishedVersion> {
  const definition = change(fixtureYaml(fixture));
  const { integration } = accepted(
    (await request(planes.api, importIntegrationMutation, { definition })).importIntegration,
  );
  return publishDraft(planes.api, integration!.id, `Version of ${fixture}`);
}

/** Deploys a version to a customer, who is made where the external id is new. */
export function deployTo(
  planes: Reachable,
  version: PublishedVersion,
  externalId: string,
): Promise<DeployedInstance> {
  return deployToCustomer(planes.api, {
    integrationId: version.integrationId,
    versionId: version.versionId,
    instanceName: `Instance of ${externalId}`,
    customer: { name: `Customer ${externalId}`, externalId },
  });
}

/** Publishes a fixture and deploys it to each of the customers. */
export async function publishAndDeploy(
  planes: Reachable,
  fixture: string,
  externalIds: string[],
): Promise<{ version: PublishedVersion; instances: Record<string, DeployedInstance> }> {
  const version = await publishFixture(planes, fixture);
  const instances: Record<string, DeployedInstance> = {};
  for (const externalId of externalIds) instances[externalId] = await deployTo(planes, version, externalId);
  return { version, instances };
}
