/**
 * From a URL token to the flow that is to run: what the endpoint is, and where a request that reached it is
 * routed. Reads the replica only; the rules themselves are in shared/resolution.ts.
 */
import { type Flow, flowByStableKey } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import type { CustomerUserEntity } from "../shared/feed.ts";
import type { RequestSource } from "../shared/references.ts";
import { selectFromRequest, selectFromResult } from "../shared/references.ts";
import {
  chooseCustomer,
  chooseFlow,
  chooseUser,
  customerNotDeployed,
  type RoutingRules,
  type Select,
} from "../shared/resolution.ts";
import type { CompiledDefinition, CompiledInstance, CompiledIntegration } from "./replica/compiled.ts";
import type { ReplicaReader } from "./replica/reader.ts";

/** An address that webhooks are sent to, with everything that it needs to be routed. */
export interface Endpoint {
  kind: "flow" | "instance" | "shared";
  /** Where the endpoint's configuration comes from. */
  source: CompiledDefinition;
  versionId: string;
  versionNumber: number;
  integration: CompiledIntegration;
  /** Null for a shared endpoint: the customer is not known yet. */
  instance: CompiledInstance | null;
  /** Whose keys count beside the organization's for the first flow: the same, but in a test of a shared draft. */
  keyInstance: CompiledInstance | null;
  /** The flow of the URL; null where the request decides. */
  flow: Flow | null;
  /** Runs before the routing; null where the request itself says enough. */
  preprocessFlow: Flow | null;
}

/** The flow of an instance that a request is for. */
export interface Target {
  definition: CompiledDefinition;
  instance: CompiledInstance;
  integration: CompiledIntegration;
  flow: Flow;
  user: CustomerUserEntity | null;
}

export interface RouteRefusal {
  ok: false;
  code: Extract<ErrorCode, "FLOW_NOT_FOUND" | "CUSTOMER_NOT_FOUND" | "CUSTOMER_USER_NOT_FOUND">;
  reason: string;
  /** The instance that was found before something else was not. */
  instance: CompiledInstance | null;
}

export type Route = { ok: true; target: Target } | RouteRefusal;

/** The endpoint at a token, or null where there is nothing to run. */
export function endpointAt(replica: ReplicaReader, token: string): Endpoint | null {
  const owner = replica.tokenOwner(token);
  if (owner === null) return null;
  if (owner.kind === "integration") return sharedEndpoint(replica, owner.integrationId);
  const instance = replica.instance(owner.instanceId);
  if (instance === null) return null;
  return owner.kind === "instance"
    ? instanceEndpoint(replica, instance)
    : flowEndpoint(replica, instance, owner.stableKey);
}

/** The shared endpoint as the latest deployed version configures it. */
function sharedEndpoint(replica: ReplicaReader, integrationId: string): Endpoint | null {
  const integration = replica.integration(integrationId);
  const shared = integration?.entity.shared;
  if (!integration || !shared) return null;
  const source = replica.definition(shared.definitionDigest);
  if (source === null) return null;
  const { versionId, versionNumber } = shared;
  return {
    kind: "shared",
    source,
    versionId,
    versionNumber,
    integration,
    instance: null,
    keyInstance: null,
    flow: null,
    preprocessFlow: source.rules.preprocessFlow,
  };
}

function instanceEndpoint(replica: ReplicaReader, instance: CompiledInstance): Endpoint | null {
  const base = endpointOf(replica, instance);
  if (base === null || base.source.definition.endpointType !== "instance_specific") return null;
  return { ...base, kind: "instance", preprocessFlow: base.source.rules.preprocessFlow };
}

/** A flow's own URL is live for flow_specific versions, and for tests on a system instance whatever its type. */
function flowEndpoint(
  replica: ReplicaReader,
  instance: CompiledInstance,
  stableKey: string,
): Endpoint | null {
  const base = endpointOf(replica, instance);
  if (base === null) return null;
  if (base.source.definition.endpointType !== "flow_specific" && !instance.head.isSystem) return null;
  const flow = flowByStableKey(base.source.definition, stableKey);
  return flow === undefined ? null : { ...base, flow };
}

/** What all endpoints of an instance start from: no flow chosen, nothing run before. */
export function endpointOf(replica: ReplicaReader, instance: CompiledInstance): Endpoint | null {
  const { definitionDigest, integrationId, versionId, versionNumber } = instance.head;
  const source = replica.definition(definitionDigest);
  const integration = replica.integration(integrationId);
  if (source === null || integration === null) return null;
  return {
    kind: "flow",
    source,
    versionId,
    versionNumber,
    integration,
    instance,
    keyInstance: instance,
    flow: null,
    preprocessFlow: null,
  };
}

/** The draft's own endpoint, for a test of its configuration: whatever its type, on the system instance. */
export function draftEndpoint(replica: ReplicaReader, integrationId: string): Endpoint | null {
  const integration = replica.integration(integrationId);
  const instance = integration && replica.instance(integration.entity.systemInstanceId);
  const base = instance && endpointOf(replica, instance);
  if (!base) return null;
  const isShared = base.source.definition.endpointType === "shared_instance";
  return {
    ...base,
    kind: isShared ? "shared" : "instance",
    instance: isShared ? null : instance,
    preprocessFlow: base.source.rules.preprocessFlow,
  };
}

/** `testInstance`: a test, which goes to this instance whatever customer the request names. */
export interface RouteOptions {
  testInstance?: CompiledInstance;
}

export const routeByRequest = (
  replica: ReplicaReader,
  endpoint: Endpoint,
  request: RequestSource,
  options: RouteOptions = {},
): Route => route(replica, endpoint, (reference) => selectFromRequest(reference, request), options);

export const routeByResult = (
  replica: ReplicaReader,
  endpoint: Endpoint,
  result: unknown,
  options: RouteOptions = {},
): Route => route(replica, endpoint, (reference) => selectFromResult(reference, result), options);

function route(
  replica: ReplicaReader,
  endpoint: Endpoint,
  select: Select,
  { testInstance }: RouteOptions,
): Route {
  const { integration, source } = endpoint;
  let instance = endpoint.instance;
  if (endpoint.kind === "shared") {
    const customer = chooseCustomer(source.rules, select);
    if (!customer.ok) return { ...customer, instance: null };
    instance = testInstance ?? replica.customerInstance(integration.entity.id, customer.externalId);
    if (instance === null) return { ...customerNotDeployed(customer.externalId), instance: null };
  }
  if (instance === null) throw new Error("an endpoint of an instance has one");
  const definition = replica.definition(instance.entity.definitionDigest);
  if (definition === null)
    throw new Error(`definition ${instance.entity.definitionDigest} is not in the replica`);
  const user = routeUser(source.rules, endpoint, instance, select, testInstance !== undefined);
  if (!user.ok) return { ...user, instance };
  if (endpoint.flow !== null)
    return { ok: true, target: { definition, instance, integration, flow: endpoint.flow, user: user.user } };
  const chosen = chooseFlow(source.rules, definition.rules, select);
  if (!chosen.ok) return { ...chosen, instance };
  return { ok: true, target: { definition, instance, integration, flow: chosen.flow, user: user.user } };
}

function routeUser(
  rules: RoutingRules,
  endpoint: Endpoint,
  instance: CompiledInstance,
  select: Select,
  isTest: boolean,
) {
  if (endpoint.flow !== null || isTest) return { ok: true as const, user: null };
  return chooseUser(rules, instance.entity.customer.users, select);
}
