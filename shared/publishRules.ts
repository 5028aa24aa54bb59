/**
 * What must hold before a version is published: the mistakes that the builder's tools let through and that
 * would only show when a webhook can't be routed. Each has its own message.
 */
import type { ComplexMember, Definition, Flow, InputValue } from "./definition.ts";
import { allSteps, routableFlows } from "./definition.ts";
import type { ImportedDefinition } from "./importDefinition.ts";
import { parseReference, type ReferenceTarget } from "./references.ts";

export interface PublishFacts {
  /** Organization keys that are valid now, counted by the flow's stable key. */
  organizationKeyCounts: Record<string, number>;
}

/** One sentence for each broken rule; empty where the version may be published. */
export function publishProblems(imported: ImportedDefinition, facts: PublishFacts): string[] {
  const { definition } = imported;
  return [
    ...preprocessProblems(imported),
    ...referenceProblems(definition),
    ...securityProblems(definition, facts),
    ...actionKeyProblems(definition),
    ...sharedPreprocessProblems(definition),
  ];
}

function preprocessProblems({
  definition,
  preprocessClaims,
  hasBothPreprocessWays,
}: ImportedDefinition): string[] {
  const problems: string[] = [];
  const { endpointType, flowNameReference, externalCustomerIdReference, externalCustomerUserIdReference } =
    definition;
  const hasPreprocess = definition.preprocessFlow !== null;
  const hasReferences = flowNameReference ?? externalCustomerIdReference ?? externalCustomerUserIdReference;
  if (preprocessClaims.length > 1) {
    problems.push(`Only one flow may be the preprocess flow, but ${quoted(preprocessClaims)} all are.`);
  }
  if (hasBothPreprocessWays) {
    problems.push(
      "A preprocess flow and routing fields of the request are both configured. Use triggerPreprocessFlowConfig or a preprocess flow, not both.",
    );
  }
  if (endpointType === "flow_specific") {
    if (hasPreprocess || hasReferences !== null) {
      problems.push(
        "A flow_specific integration has no use for a preprocess configuration: remove it, or set endpointType to instance_specific or shared_instance.",
      );
    }
    return problems;
  }
  const targets = routableFlows(definition);
  if (targets.length === 0) {
    problems.push(
      "The only flow is the preprocess flow, so there is nothing it could route to. Add another flow.",
    );
  }
  if (targets.length > 1 && flowNameReference === null) {
    problems.push(
      `There are ${targets.length} flows and no flowNameField, so a webhook can't be routed to one of them. Set flowNameField.`,
    );
  }
  if (endpointType === "shared_instance" && externalCustomerIdReference === null) {
    problems.push(
      "A shared_instance integration needs externalCustomerIdField: without it no webhook can be matched to a customer.",
    );
  }
  return problems;
}

function referenceProblems(definition: Definition): string[] {
  const target: ReferenceTarget = definition.preprocessFlow === null ? "request" : "result";
  const fields = {
    flowNameField: definition.flowNameReference,
    externalCustomerIdField: definition.externalCustomerIdReference,
    externalCustomerUserIdField: definition.externalCustomerUserIdReference,
  };
  return Object.entries(fields).flatMap(([field, text]) => {
    if (text === null) return [];
    const parsed = parseReference(text, target);
    return parsed.ok ? [] : [`${field}: ${parsed.message}`];
  });
}

function securityProblems(definition: Definition, { organizationKeyCounts }: PublishFacts): string[] {
  return definition.flows
    .filter((flow) => flow.securityType === "organization" && !organizationKeyCounts[flow.stableKey])
    .map(
      (flow) =>
        `Flow "${flow.name}" is secured by the organization but has no organization key. Add organizationApiKeys, or create a key for the flow.`,
    );
}

function actionKeyProblems(definition: Definition): string[] {
  if (!definition.isCodeNative) return [];
  const byKey = Map.groupBy(definition.flows, (flow) => actionKeyOf(flow.name));
  return [...byKey].flatMap(([key, flows]) =>
    flows.length > 1
      ? [
          `Flows ${quoted(flows.map((flow) => flow.name))} collapse into one action key, "${key}", so only one of them would run. Rename one.`,
        ]
      : [],
  );
}

function sharedPreprocessProblems(definition: Definition): string[] {
  if (definition.endpointType !== "shared_instance") return [];
  const flow = definition.flows.find((candidate) => candidate.stableKey === definition.preprocessFlow);
  if (flow === undefined) return [];
  const problems: string[] = [];
  if (flow.securityType === "customer_optional" || flow.securityType === "customer_required") {
    problems.push(
      `The shared preprocess flow "${flow.name}" can't be ${flow.securityType}: it runs before the customer is known. Use unsecured or organization.`,
    );
  }
  if (readsConfigVars(flow)) {
    problems.push(
      `The shared preprocess flow "${flow.name}" reads config variables, but it runs before the customer is known. Take them out of its steps.`,
    );
  }
  return problems;
}

function readsConfigVars(flow: Flow): boolean {
  return allSteps(flow.steps).some(
    (step) => Object.values(step.inputs).some(inputReadsConfigVar) || codeReadsConfigVars(step.inputs),
  );
}

function inputReadsConfigVar(input: InputValue): boolean {
  const inName = typeof input.name === "object" && inputReadsConfigVar(input.name);
  switch (input.type) {
    case "configVar":
      return input.value !== "";
    case "template":
      return inName || /\{\{\s*#/.test(input.value);
    case "complex":
      return inName || (Array.isArray(input.value) && input.value.some(memberReadsConfigVar));
    default:
      return inName;
  }
}

const memberReadsConfigVar = (member: ComplexMember): boolean => {
  if (typeof member === "string") return false;
  return Array.isArray(member) ? member.some(memberReadsConfigVar) : inputReadsConfigVar(member);
};

/** A code step that takes `configVars` apart from its context and then uses it by name. */
function codeReadsConfigVars(inputs: Record<string, InputValue>): boolean {
  const code = inputs["code"];
  return code?.type === "value" && /\bconfigVars\s*(\.|\[|\?\.)/.test(code.value);
}

/** The key under which spectral puts a flow's functions into its component. */
function actionKeyOf(flowName: string): string {
  const words = flowName
    .replace(/[^0-9a-zA-Z]+/g, " ")
    .trim()
    .split(" ");
  const camel = words.map(
    (word, index) =>
      (index === 0 ? "" : word.charAt(0).toUpperCase()) + (index === 0 ? word : word.slice(1)).toLowerCase(),
  );
  return camel.join("");
}

const quoted = (names: string[]): string => names.map((name) => `"${name}"`).join(", ");
