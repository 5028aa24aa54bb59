/** Publishes a built integration the way prism does: component, package, icon, definition, version. */
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Api, ApiError, accepted, request, upload } from "./apiClient.ts";
import { type BuiltComponent, type BuiltIntegration, packFolder } from "./bundleIntegration.ts";
import type { PublishComponentInput } from "./generated/graphql.ts";
import {
  componentReadyQuery,
  importIntegrationMutation,
  publishComponentMutation,
  publishIntegrationMutation,
  setAvatarMutation,
  uploadMediaQuery,
} from "./operations.ts";

export interface PublishedVersion {
  /** Node id of the integration (and of its draft). */
  integrationId: string;
  /** Node id of the version. */
  versionId: string;
  versionNumber: number;
}

const packageWaitMs = 15_000;

/** Uploads the code and imports the definition as the draft of the integration with that name. */
export async function importBuilt(api: Api, built: BuiltIntegration): Promise<string> {
  const { component, folder, yaml } = built;
  await publishBuilt(api, component, folder, true);
  const { integration } = accepted(
    (await request(api, importIntegrationMutation, { definition: yaml })).importIntegration,
  );
  if (!integration) throw new ApiError("importIntegration returned no integration.");
  const { iconPath } = component.display;
  if (iconPath) await setIcon(api, integration.id, join(folder, iconPath));
  return integration.id;
}

/** Uploads a built component, and waits until it can be used. */
export async function publishBuilt(
  api: Api,
  component: BuiltComponent,
  folder: string,
  isCodeNative: boolean,
): Promise<void> {
  const input = componentInput(component, isCodeNative);
  const { publishResult } = accepted(
    (await request(api, publishComponentMutation, { input })).publishComponent,
  );
  if (!publishResult) throw new ApiError("publishComponent returned no upload addresses.");
  const zipFile = join(tmpdir(), `switchyard-${component.key}.zip`);
  await upload(
    publishResult.packageUploadUrl,
    await packFolder(folder, ["index.js"], zipFile),
    "application/zip",
  );
  await packageReady(api, component.key, publishResult.component.versionNumber);
}

/** Publishes the draft as the next version. */
export async function publishDraft(
  api: Api,
  integrationId: string,
  comment: string,
): Promise<PublishedVersion> {
  const { integration } = accepted(
    (await request(api, publishIntegrationMutation, { id: integrationId, comment })).publishIntegration,
  );
  if (!integration) throw new ApiError("publishIntegration returned no version.");
  return { integrationId, versionId: integration.id, versionNumber: integration.versionNumber };
}

async function packageReady(api: Api, key: string, versionNumber: number): Promise<void> {
  const deadline = Date.now() + packageWaitMs;
  for (;;) {
    const { components } = await request(api, componentReadyQuery, { key, versionNumber });
    if (components.nodes.length > 0) return;
    if (Date.now() > deadline) throw new ApiError(`The package of component ${key} was not taken in time.`);
    await sleep(100);
  }
}

async function setIcon(api: Api, integrationId: string, file: string): Promise<void> {
  const { uploadMedia } = await request(api, uploadMediaQuery, {
    objectId: integrationId,
    fileName: "icon.png",
  });
  if (!uploadMedia?.uploadUrl || !uploadMedia.objectUrl) {
    throw new ApiError(`The icon can't be uploaded: ${uploadMedia?.error ?? "no address was given"}.`);
  }
  await upload(uploadMedia.uploadUrl, new Uint8Array(await readFile(file)), "image/png");
  accepted(
    (await request(api, setAvatarMutation, { id: integrationId, avatarUrl: uploadMedia.objectUrl }))
      .updateIntegration,
  );
}

/** The description of the component: its functions are in the package, so JSON is all that is sent. */
function componentInput(component: BuiltComponent, isCodeNative: boolean): PublishComponentInput {
  const { key, display, documentationUrl, actions, triggers, dataSources, connections } = component;
  const listed = (functions: Record<string, object>): object[] =>
    Object.values(functions).map((entry) => ({
      ...entry,
      examplePayload: JSON.stringify("examplePayload" in entry ? (entry.examplePayload ?? {}) : {}),
    }));
  const input = {
    definition: {
      key,
      display,
      documentationUrl,
      public: component.public,
      forCodeNativeIntegration: isCodeNative,
    },
    actions: listed(actions),
    triggers: listed(triggers),
    dataSources: listed(dataSources),
    connections,
  };
  return JSON.parse(JSON.stringify(input)) as PublishComponentInput;
}
