/**
 * Which customer and which flow a request is for: the rules of routing, free of where the data comes from.
 * Compiled once for each definition, evaluated per request.
 */
import { type Definition, DefinitionError, type Flow, flowByStableKey, routableFlows } from "./definition.ts";
import type { ErrorCode } from "./errors.ts";
import { parseReference, type Reference } from "./references.ts";

export interface RoutingRules {
  preprocessFlow: Flow | null;
  flowName: Reference | null;
  customer: Reference | null;
  customerUser: Reference | null;
  /** The flows that can be routed to, by their exact name. */
  flowsByName: ReadonlyMap<string, Flow>;
}

/** Reads a reference against the request, or against the preprocess flow's result. */
export type Select = (reference: Reference) => string | undefined;

export interface Refusal {
  ok: false;
  code: Extract<ErrorCode, "FLOW_NOT_FOUND" | "CUSTOMER_NOT_FOUND" | "CUSTOMER_USER_NOT_FOUND">;
  /** For the organization's eyes: what was looked for, and what was there to find. */
  reason: string;
}

export function compileRouting(definition: Definition): RoutingRules {
  const target = definition.preprocessFlow === null ? "request" : "result";
  const compileReference = (text: string | null): Reference | null => {
    if (text === null) return null;
    const parsed = parseReference(text, target);
    if (!parsed.ok) throw new DefinitionError(parsed.message);
    return parsed.reference;
  };
  return {
    preprocessFlow:
      definition.preprocessFlow === null
        ? null
        : (flowByStableKey(definition, definition.preprocessFlow) ?? null),
    flowName: compileReference(definition.flowNameReference),
    customer: compileReference(definition.externalCustomerIdReference),
    customerUser: compileReference(definition.externalCustomerUserIdReference),
    flowsByName: new Map(routableFlows(definition).map((flow) => [flow.name, flow])),
  };
}

/**
 * The flow to run, among those of `target` (the customer's own version). `rules` are those of the version
 * that configures the endpoint: only its flow-name reference counts.
 */
export function chooseFlow(
  rules: RoutingRules,
  target: RoutingRules,
  select: Select,
): Refusal | { ok: true; flow: Flow } {
  const flows = target.flowsByName;
  const flowName = rules.flowName === null ? undefined : select(rules.flowName);
  if (flowName === undefined) {
    if (flows.size === 1) return { ok: true, flow: flows.values().next().value! };
    const where =
      rules.flowName === null
        ? "no flow-name reference is configured"
        : `"${rules.flowName.text}" selected nothing`;
    return {
      ok: false,
      code: "FLOW_NOT_FOUND",
      reason: `No flow name: ${where}. Flows: ${listed(flows.keys())}.`,
    };
  }
  const flow = flows.get(flowName);
  if (flow !== undefined) return { ok: true, flow };
  return {
    ok: false,
    code: "FLOW_NOT_FOUND",
    reason: `There is no flow named ${quote(flowName)}. Flows: ${listed(flows.keys())}.`,
  };
}

/** The external id of the customer that the request is for; whether one has an instance is asked of the replica. */
export function chooseCustomer(
  rules: RoutingRules,
  select: Select,
): Refusal | { ok: true; externalId: string } {
  const externalId = rules.customer === null ? undefined : select(rules.customer);
  if (externalId !== undefined && externalId !== "") return { ok: true, externalId };
  const where =
    rules.customer === null ? "no reference is configured" : `"${rules.customer.text}" selected nothing`;
  return { ok: false, code: "CUSTOMER_NOT_FOUND", reason: `No external customer id: ${where}.` };
}

export const customerNotDeployed = (externalId: string): Refusal => ({
  ok: false,
  code: "CUSTOMER_NOT_FOUND",
  reason: `No customer with the external id ${quote(externalId)} has a deployed instance of this integration.`,
});

/** The customer's user that the request is bound to; `user: null` where the endpoint binds to none. */
export function chooseUser<User extends { externalId: string | null }>(
  rules: RoutingRules,
  users: readonly User[],
  select: Select,
): Refusal | { ok: true; user: User | null } {
  if (rules.customerUser === null) return { ok: true, user: null };
  const externalId = select(rules.customerUser);
  if (externalId === undefined || externalId === "") {
    return {
      ok: false,
      code: "CUSTOMER_USER_NOT_FOUND",
      reason: `No external user id: "${rules.customerUser.text}" selected nothing.`,
    };
  }
  const user = users.find((candidate) => candidate.externalId === externalId);
  if (user !== undefined) return { ok: true, user };
  return {
    ok: false,
    code: "CUSTOMER_USER_NOT_FOUND",
    reason: `The customer has no user with the external id ${quote(externalId)}.`,
  };
}

const listedMax = 50;
const listed = (names: Iterable<string>): string => {
  const all = [...names];
  const shown = all.slice(0, listedMax).map(quote).join(", ");
  return all.length > listedMax ? `${shown} and ${all.length - listedMax} more` : shown || "none";
};

/** Quoted, cut to a readable length, and free of lone surrogates and control characters. */
const quote = (text: string): string =>
  JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text.toWellFormed());
