/** Runs of real components in real threads, without planes: built with spectral and esbuild, started and awaited. */
import { createRequire } from "node:module";
import { build } from "esbuild";
import yazl from "yazl";
import { BundleRefusedError } from "../../data-plane/bundles.ts";
import type { ContextFacts } from "../../data-plane/contexts.ts";
import {
  createRunner,
  type HttpResponse,
  joined,
  type Runner,
  type RunOutcome,
} from "../../data-plane/runs.ts";
import { readConfig } from "../../shared/config.ts";
import type { Definition } from "../../shared/definition.ts";
import { newId } from "../../shared/ids.ts";
import { importDefinition } from "../../shared/importDefinition.ts";
import type { LogReport, SectionReport, StepReport, StoredRequest } from "../../shared/reports.ts";
import { type MasterKey, seal, sha256Hex } from "../../shared/secrets.ts";

const masterKey: MasterKey = { keys: [Buffer.alloc(32, 7)] };
const packages = new Map<string, Buffer>();
export const apiKey = "key-of-the-customer-0001";
export const password = "correct horse\nbattery staple";

export interface Recorded {
  outcome: RunOutcome;
  logs: LogReport[];
  steps: StepReport[];
  sections: SectionReport[];
  responses: (HttpResponse | null)[];
  failures: string[];
}

export interface RunRequest {
  body?: string | Buffer;
  headers?: [string, string][];
}

/** What is special about a run. */
export interface RunChange extends Partial<ContextFacts> {
  definition: Definition;
  executionId?: string;
  needsResult?: boolean;
}

export async function runFlow(
  on: Runner,
  flowName: string,
  sent: RunRequest | undefined,
  { executionId = newId(), needsResult = true, definition, ...change }: RunChange,
): Promise<Recorded> {
  const recorded = { logs: "", steps: "", sections: "" };
  const responses: (HttpResponse | null)[] = [];
  const failures: string[] = [];
  const collect = (reports: typeof recorded) => {
    for (const kind of ["logs", "steps", "sections"] as const)
      recorded[kind] = joined(recorded[kind], reports[kind]);
  };
  const facts = { ...contextFacts(flowName, definition), ...change };
  const { body } = sent ?? {};
  const meta = { id: executionId, isDebug: false, request: requestOf(sent ?? {}) };
  const outcome = await new Promise<RunOutcome>((resolve) =>
    on.start([
      {
        context: on.compile(facts),
        part: facts.part,
        meta: JSON.stringify(meta),
        body: body === undefined ? null : Buffer.from(body),
        firstSequence: 10,
        needsResult,
        needsRequest: true,
        beforeStart: null,
        hooks: {
          onTriggerDone: (response) => responses.push(response),
          onTriggerFailed: (message) => failures.push(message),
          onProgress: collect,
          onEnd: resolve,
        },
      },
    ]),
  );
  collect(outcome.reports);
  const list = (kind: keyof typeof recorded) => JSON.parse(`[${recorded[kind]}]`);
  return {
    outcome,
    logs: list("logs"),
    steps: list("steps"),
    sections: list("sections"),
    responses,
    failures,
  };
}

function requestOf({
  headers = [["Content-Type", "application/json"]],
}: RunRequest): Omit<StoredRequest, "body"> {
  return {
    method: "POST",
    pathFragment: "/more",
    query: "a=1&a=2",
    headers,
    keyHmacs: [],
    remoteAddress: "127.0.0.1",
    receivedAtMs: Date.now(),
    requestId: newId(),
    token: "token",
  };
}

function contextFacts(flowName: string, definition: Definition): ContextFacts {
  const flow = definition.flows.find(({ name }) => name === flowName);
  if (flow === undefined) throw new Error(`no flow ${flowName}`);
  const key = {
    id: newId(),
    hmac: "",
    sealed: seal(masterKey, "apiKey", apiKey),
    expiresAtMs: null,
    revokedAtMs: null,
  };
  const configVars = {
    Plain: "plain value",
    Connection: { key: "basic", configVarKey: "Connection", fields: { username: "u", password } },
  };
  return {
    part: "FLOW",
    definition,
    flow,
    instance: {
      id: newId(),
      name: "Acme's instance",
      integrationId: newId(),
      integrationName: "Test",
      isSystem: false,
      isEnabled: true,
      versionId: newId(),
      versionNumber: 1,
      definitionDigest: "digest",
      customer: { id: newId(), externalId: "acme", name: "Acme", users: [] },
      token: "instance-token",
      allowedAddresses: [],
      flows: {
        [flow.stableKey]: {
          flowId: newId(),
          flowConfigId: newId(),
          token: "flow-token",
          keys: [key],
          allowedAddresses: [],
        },
      },
      sealedConfigVars: seal(masterKey, "configVars", JSON.stringify(configVars)),
    },
    integration: {
      id: newId(),
      name: "Test",
      token: "t",
      shared: null,
      systemInstanceId: newId(),
      organizationKeys: {},
      allowedAddresses: [],
    },
    versionId: newId(),
    customerUser: null,
    ingressUrl: "https://hooks.test",
  };
}

/** With one thread, if not told otherwise: each costs a start. `onNotice`: what an operator would read in the log. */
export function startRunner(
  dataDir: string,
  environment: Record<string, string> = {},
  onNotice: (message: string) => void = () => {},
): Runner {
  return createRunner({
    config: readConfig({ SWITCHYARD_DATA_DIR: dataDir, SWITCHYARD_RUN_THREADS: "1", ...environment }),
    masterKey,
    dataDir,
    logger: { warn: onNotice, debug: onNotice },
    async fetchBundle(digest) {
      const found = packages.get(digest);
      if (found === undefined) throw new BundleRefusedError("The package is not there.");
      return found;
    },
  });
}

export async function buildIntegration(source: string): Promise<Definition> {
  const built = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname, loader: "js" },
    bundle: true,
    platform: "node",
    format: "cjs",
    // What is loaded in thread after thread is half as large; the names stay.
    minifyWhitespace: true,
    minifySyntax: true,
    write: false,
  });
  const text = built.outputFiles[0]!.text;
  const digest = await pack(text);
  const module = { exports: {} as { default?: { codeNativeIntegrationYAML: string } } };
  new Function("module", "exports", "require", text)(module, module.exports, createRequire(import.meta.url));
  const imported = importDefinition(module.exports.default!.codeNativeIntegrationYAML);
  return { ...imported.definition, bundles: { [imported.privateComponentKeys[0]!]: digest } };
}

/**
 * A version of flows without spectral in their package, which loads in no time: `flows` is the source of an object of
 * functions by flow name, called with the step's params.
 */
export async function buildLightFlows(name: string, flowNames: string[], flows: string): Promise<Definition> {
  const definition = await buildIntegration(`
    import { flow, integration } from "@prismatic-io/spectral";
    export default integration({ name: ${JSON.stringify(name)}, description: "", version: "1.0.0",
      flows: ${JSON.stringify(flowNames)}.map((name) => flow({
        name, stableKey: name.toLowerCase().replaceAll(" ", "-"), description: "", onExecution: async () => ({ data: null }),
      })) });`);
  const performs = definition.flows.map((flow) => {
    const [trigger, action] = flow.steps.map((step) => JSON.stringify(step.action.key));
    return `triggers[${trigger}] = { perform: async (_context, payload) => ({ payload }) };
      actions[${action}] = { perform: async ({ logger }, params) => {
        logger.info("begins");
        return flows[${JSON.stringify(flow.name)}](params);
      } };`;
  });
  const source = `const triggers = {}, actions = {};
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const flows = ${flows};
    ${performs.join("\n")}
    exports.default = { key: ${JSON.stringify(name)}, triggers, actions };`;
  const digest = await pack(source);
  const bundles = Object.keys(definition.bundles).map((componentKey) => [componentKey, digest]);
  return { ...definition, bundles: Object.fromEntries(bundles) };
}

export const fetchPackage = (digest: string): Buffer | undefined => packages.get(digest);

/** Makes a package of one `index.js` that every runner can fetch; gives its digest. */
export async function pack(source: string): Promise<string> {
  const zip = new yazl.ZipFile();
  zip.addBuffer(Buffer.from(source), "index.js");
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  packages.set(sha256Hex(bytes), bytes);
  return sha256Hex(bytes);
}
