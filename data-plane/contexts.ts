/**
 * What the runs of one flow of one instance have in common: its code, attributes, config variables and keys.
 * Gathered and unsealed once, here, since the master key stays on the main thread; then sent to the run threads
 * that run it, and to no others.
 */
import { LRUCache } from "lru-cache";
import type { Definition, Flow } from "../shared/definition.ts";
import type { CustomerUserEntity, InstanceEntity, IntegrationEntity, KeyEntity } from "../shared/feed.ts";
import { toNodeId } from "../shared/ids.ts";
import type { ExecutionPart } from "../shared/reports.ts";
import { type MasterKey, unseal } from "../shared/secrets.ts";
import type { ContextAttributes, ContextData, RunCode } from "./runtime/messages.ts";
import { webhookUrlsOf } from "./webhookUrls.ts";

export interface ContextFacts {
  part: ExecutionPart;
  definition: Definition;
  flow: Flow;
  /** Null for a shared preprocess flow: it runs as the system, and may not read config variables. */
  instance: InstanceEntity | null;
  integration: IntegrationEntity;
  versionId: string;
  customerUser: CustomerUserEntity | null;
  /** What webhook URLs start with. */
  ingressUrl: string;
}

export interface RunContext {
  code: RunCode;
  /** Digests of the packages that it runs on. */
  digests: readonly string[];
  /** `ContextData` */
  json: string;
  /** When the first of its keys expires: it must be gathered anew then. */
  expiresAtMs: number;
}

export interface ContextCompiler {
  /** Throws where something can't be unsealed. */
  compile(facts: ContextFacts): RunContext;
}

const unsealedEntriesMax = 10_000;
const unsealedCharactersMax = 16 * 1024 * 1024;

export function createContextCompiler(
  masterKey: MasterKey,
  folderOf: (digest: string) => string,
): ContextCompiler {
  const unsealText = createUnseal(masterKey);
  const codesByDefinition = new WeakMap<Definition, Map<Flow, RunCode>>();

  const newCode = ({ flow, definition, instance, integration }: ContextFacts): RunCode => {
    const owner = integration.isolatesInstances && instance !== null ? { owner: instance.id } : {};
    const bundles = Object.entries(definition.bundles).map(
      ([componentKey, digest]) => [componentKey, { digest, folder: folderOf(digest), ...owner }] as const,
    );
    return {
      flow,
      isCodeNative: definition.isCodeNative,
      bundles: Object.fromEntries(bundles),
      flowSchemas: schemasOf(definition),
    };
  };

  const codeOf = (facts: ContextFacts): RunCode => {
    const { flow, definition } = facts;
    // Of this instance alone, so there is nobody to share it with.
    if (facts.integration.isolatesInstances) return newCode(facts);
    let codes = codesByDefinition.get(definition);
    if (codes === undefined) {
      codes = new Map();
      codesByDefinition.set(definition, codes);
    }
    let code = codes.get(flow);
    if (code === undefined) {
      code = newCode(facts);
      codes.set(flow, code);
    }
    return code;
  };

  return {
    compile(facts) {
      const keys = keysByFlowName(facts, unsealText);
      const data: ContextData = {
        part: facts.part,
        ingressUrl: facts.ingressUrl,
        attributes: attributesOf(facts, keys.texts),
        configVarsJson: configVarsJson(facts, unsealText),
      };
      return {
        code: codeOf(facts),
        digests: Object.values(facts.definition.bundles),
        json: JSON.stringify(data),
        expiresAtMs: keys.expiresAtMs,
      };
    },
  };
}

/** Of all flows that have some, by the flow's name; null where none has. */
function schemasOf({ flows }: Definition): RunCode["flowSchemas"] {
  const schemas = flows.flatMap(({ name, schemas: own }) =>
    own === undefined ? [] : [[name, own] as const],
  );
  return schemas.length === 0 ? null : Object.fromEntries(schemas);
}

type Unseal = (purpose: string, sealed: string) => string;

/** The flows of an instance share its sealed texts, so they are opened once. */
function createUnseal(masterKey: MasterKey): Unseal {
  const opened = new LRUCache<string, string>({
    max: unsealedEntriesMax,
    maxSize: unsealedCharactersMax,
    sizeCalculation: (text, key) => text.length + key.length + 1,
  });
  return (purpose, sealed) => {
    const key = `${purpose}:${sealed}`;
    const known = opened.get(key);
    if (known !== undefined) return known;
    const text = unseal(masterKey, purpose, sealed).toString("utf8");
    opened.set(key, text);
    return text;
  };
}

/** The instance's config variables; in a run that is bound to a user, the user's own over them. */
function configVarsJson({ instance, customerUser }: ContextFacts, unsealText: Unseal): string | null {
  if (instance === null) return null;
  const own = unsealText("configVars", instance.sealedConfigVars);
  const sealed = customerUser?.sealedConfigVars;
  if (sealed === undefined) return own;
  return JSON.stringify({ ...JSON.parse(own), ...JSON.parse(unsealText("configVars", sealed)) });
}

const system = { id: "", externalId: "", name: "System" };

function attributesOf(facts: ContextFacts, webhookApiKeys: Record<string, string[]>): ContextAttributes {
  const { definition, flow, instance, integration, customerUser: user } = facts;
  const flowId = instance?.flows[flow.stableKey]?.flowId;
  return {
    webhookUrls: webhookUrlsOf(facts.ingressUrl, definition, instance, integration),
    webhookApiKeys,
    customer:
      instance === null
        ? system
        : {
            externalId: instance.customer.externalId,
            name: instance.customer.name,
            id: toNodeId("Customer", instance.customer.id),
          },
    instance:
      instance === null
        ? { id: system.id, name: system.name }
        : { id: toNodeId("Instance", instance.id), name: instance.name },
    integration: {
      id: toNodeId("Integration", integration.id),
      name: integration.name,
      versionSequenceId: toNodeId("Integration", facts.versionId),
      externalVersion: definition.externalVersion,
    },
    user:
      user === null
        ? { id: "", email: "", name: "", externalId: "" }
        : {
            id: toNodeId("User", user.id),
            email: user.email,
            name: user.name,
            externalId: user.externalId ?? "",
          },
    flow: {
      id: flowId === undefined ? "" : toNodeId("IntegrationFlow", flowId),
      name: flow.name,
      stableId: flow.stableKey,
    },
  };
}

/** The customer's keys, where a customer is known, and the organization's: those that are valid now. */
function keysByFlowName({ definition, instance, integration }: ContextFacts, unsealText: Unseal) {
  const nowMs = Date.now();
  const texts: Record<string, string[]> = {};
  let expiresAtMs = Number.POSITIVE_INFINITY;
  const add = (flowName: string, { sealed, expiresAtMs: untilMs, revokedAtMs }: KeyEntity) => {
    if (revokedAtMs !== null || (untilMs !== null && untilMs <= nowMs)) return;
    if (untilMs !== null) expiresAtMs = Math.min(expiresAtMs, untilMs);
    texts[flowName]!.push(unsealText("apiKey", sealed));
  };
  for (const { name, stableKey } of definition.flows) {
    texts[name] = [];
    for (const key of instance?.flows[stableKey]?.keys ?? []) add(name, key);
    for (const key of integration.organizationKeys[stableKey] ?? []) add(name, key);
  }
  return { texts, expiresAtMs };
}
