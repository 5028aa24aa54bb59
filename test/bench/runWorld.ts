/** What benches of the run threads start from: a flow's context, a request, a package built with spectral. */
import { createRequire } from "node:module";
import { build } from "esbuild";
import yazl from "yazl";
import type { RunContext } from "../../data-plane/contexts.ts";
import { createRunner, type Run, type Runner } from "../../data-plane/runs.ts";
import { readConfig } from "../../shared/config.ts";
import type { Definition } from "../../shared/definition.ts";
import { newId } from "../../shared/ids.ts";
import { importDefinition } from "../../shared/importDefinition.ts";
import { type MasterKey, seal } from "../../shared/secrets.ts";

const masterKey: MasterKey = { keys: [Buffer.alloc(32, 7)] };

export const body = Buffer.from(
  JSON.stringify({
    type: "inventory_update",
    customerId: "A06DFFAC",
    data: Array.from({ length: 8 }, (_, i) => ({
      sku: `SKU-${1000 + i}`,
      quantity: i * 7,
      warehouse: "north",
    })),
  }),
);

/** `fetchBundle` gives a package's zip by its digest. */
export const startRunner = (
  dataDir: string,
  environment: Record<string, string>,
  fetchBundle: (digest: string) => Promise<Buffer>,
): Runner =>
  createRunner({
    config: readConfig({ SWITCHYARD_DATA_DIR: dataDir, ...environment }),
    masterKey,
    dataDir,
    logger: { warn: console.error, debug: console.error },
    fetchBundle,
  });

/** One run of a webhook; one that fails ends the bench. */
export function runOf(context: RunContext, onEnd: () => void): Run {
  return {
    context,
    part: "FLOW",
    meta: metaJson(),
    body,
    firstSequence: 2,
    needsResult: false,
    needsRequest: true,
    beforeStart: null,
    hooks: {
      onTriggerDone() {},
      onTriggerFailed() {},
      onProgress() {},
      onEnd({ status, error }) {
        if (status === "FAILED") throw new Error(String(error));
        onEnd();
      },
    },
  };
}

function metaJson(): string {
  const id = newId();
  return `{"id":"${id}","isDebug":false,"request":{"method":"POST","pathFragment":"","query":"","headers":[["host","hooks.example.com"],["user-agent","Acme-Webhooks/2.1"],["content-type","application/json"],["content-length","600"],["accept","*/*"],["x-acme-signature","sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],["x-acme-delivery","${id}"],["x-forwarded-for","203.0.113.7"]],"keyHmacs":["hXx1bMjQ2vD0m7rV3rZ6mN8mUq1Q2b3c4d5e6f7g8h9"],"remoteAddress":"203.0.113.7","receivedAtMs":${Date.now()},"requestId":"${id}","token":"tokentokentokentokentokento"}}`;
}

export function contextOf(runner: Runner, definition: Definition, flowName: string): RunContext {
  const flow = definition.flows.find(({ name }) => name === flowName)!;
  const key = () => ({
    id: newId(),
    hmac: "",
    sealed: seal(masterKey, "apiKey", `key-${newId()}`),
    expiresAtMs: null,
    revokedAtMs: null,
  });
  const entity = {
    id: newId(),
    name: "Acme",
    integrationId: newId(),
    integrationName: "Bench",
    isSystem: false,
    isEnabled: true,
    versionId: newId(),
    versionNumber: 1,
    definitionDigest: "digest",
    customer: { id: newId(), externalId: "acme", name: "Acme", users: [] },
    token: newId(),
    allowedAddresses: [],
    flows: {
      [flow.stableKey]: {
        flowId: newId(),
        flowConfigId: newId(),
        token: newId(),
        keys: [key()],
        allowedAddresses: [],
      },
    },
    sealedConfigVars: seal(masterKey, "configVars", JSON.stringify({ region: "north" })),
  };
  return runner.compile({
    part: "FLOW",
    definition,
    flow,
    instance: entity,
    integration: {
      id: entity.integrationId,
      name: "Bench",
      token: newId(),
      shared: null,
      systemInstanceId: newId(),
      organizationKeys: {},
      allowedAddresses: [],
    },
    versionId: entity.versionId,
    customerUser: null,
    ingressUrl: "https://hooks.example.com",
  });
}

export async function bundleOf(contents: string, isMinified = false): Promise<string> {
  const built = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "js" },
    bundle: true,
    platform: "node",
    format: "cjs",
    minify: isMinified,
    write: false,
  });
  return built.outputFiles[0]!.text;
}

export async function pack(text: string): Promise<Buffer> {
  const file = new yazl.ZipFile();
  file.addBuffer(Buffer.from(text), "index.js");
  file.end();
  const chunks: Buffer[] = [];
  for await (const chunk of file.outputStream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function definitionOf(text: string, digest: string): Definition {
  const module = { exports: {} as { default?: { codeNativeIntegrationYAML: string } } };
  new Function("module", "exports", "require", text)(module, module.exports, createRequire(import.meta.url));
  const imported = importDefinition(module.exports.default!.codeNativeIntegrationYAML);
  return { ...imported.definition, bundles: { [imported.privateComponentKeys[0]!]: digest } };
}
