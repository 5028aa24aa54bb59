/**
 * What an entry's route stands for: the code and context to run it with, and the target as its record names it.
 * A route names versions, so the same text always means the same; it is worked out once and kept while there is room.
 */
import { type Definition, type Flow, flowByStableKey } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import type { ExecutionPart, ExecutionTarget } from "../shared/reports.ts";
import type { RunContext } from "./contexts.ts";
import type { EntryRoute } from "./journal/entry.ts";
import type { CompiledDefinition, CompiledInstance, CompiledIntegration } from "./replica/compiled.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import type { Endpoint, Target } from "./resolve.ts";
import type { Runner } from "./runs.ts";

/** One part of an execution, ready to run. */
export interface Plan {
  readonly key: string;
  readonly route: EntryRoute;
  readonly part: ExecutionPart;
  readonly flowName: string;
  readonly context: RunContext;
  /** JSON of the `ExecutionTarget`. */
  readonly targetJson: string;
  /** The flow that found the target, where one did. */
  readonly preprocessFlowName: string | null;
  /** Of the integration: where tests of its draft run. */
  readonly systemInstanceId: string;
}

export type Found = { ok: true; plan: Plan } | { ok: false; code: ErrorCode; reason: string };

export interface Plans {
  /** As the route pins it; null where that is gone. */
  find(routeJson: string): Plan | null;
  /** The same with the keys that are valid now. */
  renew(plan: Plan): Plan | null;
  /** What stands at the route's place now, for an entry whose pins are gone. */
  findCurrent(route: EntryRoute): Found;
  /** For the flow that a preprocess flow named. */
  ofTarget(target: Target, preprocess: Plan): Plan;
  /** Where a preprocess part came in; null where that is gone. */
  endpointOf(plan: Plan): Endpoint | null;
}

export interface PlansOptions {
  replica: ReplicaReader;
  compile: Runner["compile"];
  ingressUrl: () => string;
}

const plansMax = 50_000;
const charactersMax = 48 * 1024 * 1024;

/** What a route's names stand for. */
interface Parts {
  source: CompiledDefinition;
  integration: CompiledIntegration;
  instance: CompiledInstance | null;
}

export function createPlans({ replica, compile, ingressUrl }: PlansOptions): Plans {
  /** The oldest goes first, whether used or not: moving each at its use would cost more than making it again. */
  const kept = new Map<string, Plan>();
  let characters = 0;

  function keep(plan: Plan): Plan {
    drop(plan.key);
    kept.set(plan.key, plan);
    characters += sizeOf(plan);
    for (const oldest of kept.keys()) {
      if (kept.size <= plansMax && characters <= charactersMax) break;
      drop(oldest);
    }
    return plan;
  }

  function drop(key: string): void {
    const plan = kept.get(key);
    if (plan === undefined) return;
    kept.delete(key);
    characters -= sizeOf(plan);
  }

  function pinned(route: EntryRoute): Parts | null {
    const { generation, instanceId } = route;
    const source = replica.definitionAt(generation, route.definitionDigest);
    const integration = replica.integrationAt(generation, route.integrationId, route.integrationVersion);
    const instance =
      instanceId === null ? null : replica.instanceAt(generation, instanceId, route.instanceVersion);
    if (source === null || integration === null || (instance === null && instanceId !== null)) return null;
    return { source, integration, instance };
  }

  function make(
    key: string,
    route: EntryRoute,
    { source, integration, instance }: Parts,
    flow: Flow,
    preprocessFlowName: string | null,
  ): Plan {
    const entity = instance?.entity ?? null;
    const user = entity?.customer.users.find(({ id }) => id === route.userId) ?? null;
    const isPreprocess = route.kind === "preprocess";
    const part = isPreprocess ? "PREPROCESS" : "FLOW";
    const versionId = entity?.versionId ?? route.versionId;
    const flowEntity = isPreprocess ? undefined : entity?.flows[flow.stableKey];
    const target: ExecutionTarget = {
      ...unknownTarget(route),
      versionId,
      versionNumber: entity?.versionNumber ?? route.versionNumber,
      customerId: entity?.customer.id ?? null,
      customerUserId: isPreprocess ? null : (user?.id ?? null),
      flowId: flowEntity?.flowId ?? null,
      flowConfigId: flowEntity?.flowConfigId ?? null,
      flowStableKey: isPreprocess ? null : flow.stableKey,
      flowName: isPreprocess ? null : flow.name,
      preprocessFlowName: isPreprocess ? flow.name : preprocessFlowName,
    };
    const context = compile({
      part,
      definition: source.definition,
      flow,
      instance: entity,
      integration: integration.entity,
      versionId,
      customerUser: isPreprocess ? null : user,
      ingressUrl: ingressUrl(),
    });
    const targetJson = JSON.stringify(target);
    const { systemInstanceId } = integration.entity;
    return keep({
      key,
      route,
      part,
      flowName: flow.name,
      context,
      targetJson,
      preprocessFlowName,
      systemInstanceId,
    });
  }

  function findPinned(key: string, route: EntryRoute, preprocessFlowName: string | null): Plan | null {
    const parts = pinned(route);
    const flow = parts === null ? undefined : flowByStableKey(parts.source.definition, route.flowStableKey);
    if (parts === null || flow === undefined) return null;
    return make(key, route, parts, flow, preprocessFlowName);
  }

  const isValid = (plan: Plan): boolean =>
    plan.context.expiresAtMs === Number.POSITIVE_INFINITY || plan.context.expiresAtMs > Date.now();

  return {
    find(routeJson) {
      const known = kept.get(routeJson);
      if (known !== undefined && isValid(known)) return known;
      return findPinned(routeJson, JSON.parse(routeJson) as EntryRoute, null);
    },
    renew: (plan) => (isValid(plan) ? plan : findPinned(plan.key, plan.route, plan.preprocessFlowName)),
    findCurrent(route) {
      const parts = currentParts(replica, route);
      if (parts === null)
        return {
          ok: false,
          code: "ENDPOINT_NOT_FOUND",
          reason: "What this webhook was accepted for is not there any more, so it can't be run.",
        };
      const flow = flowOf(parts.source.definition, route.flowStableKey);
      if (flow === null)
        return {
          ok: false,
          code: "FLOW_NOT_FOUND",
          reason: "The flow that this webhook was accepted for is not in the present version.",
        };
      const current = routeOf(route, replica.generation, parts, flow, route.userId);
      return { ok: true, plan: make(JSON.stringify(current), current, parts, flow, null) };
    },
    ofTarget({ definition, instance, integration, flow, user }, preprocess) {
      const parts = { source: definition, integration, instance };
      const from: EntryRoute = { ...preprocess.route, kind: "flow" };
      const route = routeOf(from, replica.generation, parts, flow, user?.id ?? null);
      const key = `${JSON.stringify(route)} ${preprocess.flowName}`;
      const known = kept.get(key);
      if (known !== undefined && isValid(known)) return known;
      return make(key, route, parts, flow, preprocess.flowName);
    },
    endpointOf({ route }) {
      const parts = pinned(route) ?? currentParts(replica, route);
      const flow = parts === null ? null : flowOf(parts.source.definition, route.flowStableKey);
      if (parts === null || flow === null) return null;
      return {
        kind: route.endpointKind,
        ...parts,
        versionId: route.versionId,
        versionNumber: route.versionNumber,
        keyInstance: parts.instance,
        flow: null,
        preprocessFlow: flow,
      };
    },
  };
}

const flowOf = (definition: Definition, stableKey: string): Flow | null =>
  flowByStableKey(definition, stableKey) ?? null;

function currentParts(replica: ReplicaReader, route: EntryRoute): Parts | null {
  const integration = replica.integration(route.integrationId);
  const instance = route.instanceId === null ? null : replica.instance(route.instanceId);
  if (integration === null || (instance === null && route.instanceId !== null)) return null;
  const digest = instance?.entity.definitionDigest ?? integration.entity.shared?.definitionDigest;
  const source = digest === undefined ? null : replica.definition(digest);
  return source === null ? null : { source, integration, instance };
}

function routeOf(
  route: EntryRoute,
  generation: number,
  { source, integration, instance }: Parts,
  flow: Flow,
  userId: string | null,
): EntryRoute {
  return {
    ...route,
    generation,
    instanceId: instance?.entity.id ?? null,
    instanceVersion: instance?.version ?? 0,
    integrationVersion: integration.version,
    definitionDigest: source.digest,
    flowStableKey: flow.stableKey,
    userId,
  };
}

/** All that is known of a target whose versions are gone. */
export const unknownTarget = (route: EntryRoute): ExecutionTarget => ({
  integrationId: route.integrationId,
  versionId: route.versionId,
  versionNumber: route.versionNumber,
  instanceId: route.instanceId,
  customerId: null,
  customerUserId: null,
  flowId: null,
  flowConfigId: null,
  flowStableKey: null,
  flowName: null,
  preprocessFlowName: null,
});

/** Texts, and the objects around them. */
const sizeOf = ({ key, targetJson, context }: Plan): number =>
  2 * key.length + targetJson.length + context.json.length + 800;
