/** A real control plane in this process, for tests that need no data plane of their own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ControlPlane, startControlPlane } from "../../control-plane/main.ts";
import { readConfig } from "../../shared/config.ts";
import { graphql, rawGraphql } from "./graphql.ts";
import { newTemporaryFolder, removeFolder } from "./temporaryFolder.ts";

type Variables = Record<string, unknown>;

export interface TestControlPlane {
  url: string;
  dataDir: string;
  dataPlaneToken: string;
  /** The data of an operation, as the admin; throws on top-level errors. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever their own document asked for.
  api(document: string, variables?: Variables): Promise<any>;
  /** The same with another token. */
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  as(token: string, document: string, variables?: Variables): Promise<any>;
  /** The messages of the top-level errors. */
  refusal(token: string | null, document: string, variables?: Variables): Promise<string[]>;
  stop(): Promise<void>;
}

const adminToken = "admin-token-of-the-test";

export async function testControlPlane(environment: Record<string, string> = {}): Promise<TestControlPlane> {
  const dataDir = newTemporaryFolder();
  const config = readConfig({
    SWITCHYARD_DATA_DIR: dataDir,
    SWITCHYARD_CONTROL_PORT: "0",
    SWITCHYARD_ADMIN_TOKEN: adminToken,
    SWITCHYARD_LOG_LEVEL: "silent",
    SWITCHYARD_DEPLOY_WAIT_MS: "300",
    // Tests are faster than people: those of the limit set one.
    SWITCHYARD_API_REQUESTS_PER_SECOND: "0",
    ...environment,
  });
  const controlPlane: ControlPlane = await startControlPlane(config);
  const { url } = controlPlane;
  return {
    url,
    dataDir,
    dataPlaneToken: readFileSync(join(dataDir, "data-plane.token"), "utf8").trim(),
    api: (document, variables) => graphql(url, adminToken, document, variables),
    as: (token, document, variables) => graphql(url, token, document, variables),
    refusal: async (token, document, variables) =>
      ((await rawGraphql(url, token, document, variables)).errors ?? []).map((error) => error.message),
    async stop() {
      await controlPlane.stop();
      removeFolder(dataDir);
    },
  };
}
