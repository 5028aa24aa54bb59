/** What the main thread has sent of code and contexts: kept by number until it is forgotten. */
import type { Flow } from "../../shared/definition.ts";
import type { ExecutionPart } from "../../shared/reports.ts";
import type { BundlePlace, ContextAttributes, ContextChanges, ContextData, RunCode } from "./messages.ts";
import { createRedactor, type Redactor, type Secrets, secretsOf } from "./redaction.ts";

/** Of many runs, so nothing of it is handed to flow code but in a copy. */
export interface ThreadContext {
  part: ExecutionPart;
  flow: Flow;
  isCodeNative: boolean;
  bundles: Record<string, BundlePlace>;
  flowSchemas: RunCode["flowSchemas"];
  ingressUrl: string;
  secrets: Secrets;
  redactor: Redactor;
  /** Null where none may be read. */
  freshConfigVars(): Record<string, unknown> | null;
  freshAttributes(): ContextAttributes;
}

export interface Contexts {
  take(changes: ContextChanges): void;
  context(number: number): ThreadContext;
}

export function createContexts(): Contexts {
  const codes = new Map<number, RunCode>();
  const contexts = new Map<number, ThreadContext>();
  return {
    take(changes) {
      for (const number of changes.forgottenCodes) codes.delete(number);
      for (const number of changes.forgottenContexts) contexts.delete(number);
      for (const { number, code } of changes.codes) codes.set(number, code);
      for (const { number, code, json } of changes.contexts)
        contexts.set(number, compile(codes.get(code)!, json));
    },
    context: (number) => contexts.get(number)!,
  };
}

function compile(code: RunCode, json: string): ThreadContext {
  const { part, ingressUrl, attributes, configVarsJson } = JSON.parse(json) as ContextData;
  const freshConfigVars = (): Record<string, unknown> | null => {
    if (configVarsJson === null) return null;
    return configVarsJson === "{}" ? {} : JSON.parse(configVarsJson);
  };
  const secrets = secretsOf(freshConfigVars(), attributes.webhookApiKeys);
  return {
    ...code,
    part,
    ingressUrl,
    secrets,
    redactor: createRedactor(secrets),
    freshConfigVars,
    freshAttributes: () => copyOf(attributes),
  };
}

const copyOf = (attributes: ContextAttributes): ContextAttributes => {
  const webhookApiKeys: Record<string, string[]> = {};
  for (const name of Object.keys(attributes.webhookApiKeys))
    webhookApiKeys[name] = [...attributes.webhookApiKeys[name]!];
  return {
    webhookUrls: { ...attributes.webhookUrls },
    webhookApiKeys,
    customer: { ...attributes.customer },
    instance: { ...attributes.instance },
    integration: { ...attributes.integration },
    user: { ...attributes.user },
    flow: { ...attributes.flow },
  };
};
