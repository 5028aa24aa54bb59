/**
 * From a request to the execution that it becomes, or to the reason why it is refused: keys, body, routing,
 * in the order that gives nothing away. The same for webhooks, replays and tests of an endpoint.
 */
import { type Flow, routableFlows } from "../shared/definition.ts";
import type { ErrorCode } from "../shared/errors.ts";
import { type Reference, type RequestSource, selectFromRequest } from "../shared/references.ts";
import type { InvokeType, StoredRequest } from "../shared/reports.ts";
import { answersAtOnce } from "./answers.ts";
import { everyFlowNeedsKey, keyRule } from "./authenticate.ts";
import type { EntryMeta, EntryRoute } from "./journal/entry.ts";
import type { KeyChecks, KeyRefusal } from "./keyChecks.ts";
import type { BodyParser } from "./largeBodies.ts";
import { mediaTypeOf } from "./parse.ts";
import { queueKeyOf, queueOf } from "./queueKeys.ts";
import type { CompiledInstance } from "./replica/compiled.ts";
import type { ReplicaReader } from "./replica/reader.ts";
import { type Endpoint, routeByRequest, type Target } from "./resolve.ts";

export interface AdmissionRequest {
  executionId: string;
  endpoint: Endpoint;
  request: Omit<StoredRequest, "body">;
  /** Content-Encoding undone. */
  body: Buffer;
  invokeType: InvokeType;
  isDebug: boolean;
  replayOf: string | null;
  invokedBy: string | null;
  /** A test of the endpoint's configuration: always on the system instance. */
  isEndpointTest: boolean;
  /** A test of one flow asks for no key and no routing. */
  skipsKeys: boolean;
  retry?: NonNullable<EntryMeta["retry"]>;
  keyChecks: KeyChecks;
  /** True where a sender is there to be answered: the entry says whether the answer waits. */
  hasSender?: boolean;
}

/** What is to be journaled, beside the body. `target` is null where a preprocess flow is to find it. */
export type Admission =
  | { ok: true; meta: EntryMeta; endpoint: Endpoint; target: Target | null }
  | AdmissionRefusal;

export interface AdmissionRefusal {
  ok: false;
  code: ErrorCode;
  /** For the organization's eyes. */
  reason: string;
  instance: CompiledInstance | null;
  /** The whole request is kept, so that it can be replayed. */
  isReplayable: boolean;
  /** Seconds, where the sender is told when to try again. */
  retryAfter?: number | null;
}

/** Refuses by key alone, before the body is looked at; null where the request may go on. */
export function refuseByKey({
  endpoint,
  request,
  keyChecks,
}: Pick<AdmissionRequest, "endpoint" | "request" | "keyChecks">): AdmissionRefusal | null {
  const { source, instance, keyInstance, integration } = endpoint;
  const instanceEntity = keyInstance?.entity ?? null;
  const first = endpoint.flow ?? endpoint.preprocessFlow;
  if (first !== null) {
    const rule = keyRule(source.definition, first, instanceEntity, integration.entity);
    return keyRefusal(keyChecks.refuse(rule, first.name, request, Date.now()), instance);
  }
  if (request.keyHmacs.length > 0) return null;
  return everyFlowNeedsKey(
    routableFlows(source.definition),
    source.definition,
    instanceEntity,
    integration.entity,
  )
    ? refusal("KEY_REFUSED", "No key was sent, and every flow needs one.", instance)
    : null;
}

export async function admit(
  replica: ReplicaReader,
  parser: BodyParser,
  given: AdmissionRequest,
): Promise<Admission> {
  const { endpoint, request, body } = given;
  if (!given.skipsKeys) {
    const refused = refuseByKey(given);
    if (refused !== null) return refused;
  }
  const first = endpoint.flow ?? endpoint.preprocessFlow;
  const contentType = headerOf(request.headers, "content-type") ?? "";
  if (first !== null && !acceptsContentType(first, contentType, body))
    return contentTypeRefusal(first, contentType, endpoint.instance);
  const parsed = await parser.parse(body, contentType, () => bodyPaths(endpoint));
  if (!parsed.ok) return refusal("BODY_INVALID", parsed.message, endpoint.instance);

  if (endpoint.preprocessFlow !== null && endpoint.flow === null) {
    const { instance } = endpoint;
    if (instance !== null && !instance.entity.isEnabled) return pausedRefusal(instance);
    return { ok: true, meta: metaOf(replica, given, null), endpoint, target: null };
  }
  const source = sourceOf(request, { data: parsed.data, contentType: parsed.contentType });
  const testInstance = given.isEndpointTest
    ? replica.instance(endpoint.integration.entity.systemInstanceId)
    : null;
  const route = routeByRequest(replica, endpoint, source, testInstance === null ? {} : { testInstance });
  if (!route.ok)
    return {
      ok: false,
      code: route.code,
      reason: route.reason,
      instance: route.instance,
      isReplayable: true,
    };
  const { target } = route;
  const refused = refuseTarget(target, given, contentType);
  if (refused !== null) return refused;
  const queueKey = queueKeyOf(target.instance.entity.id, target.flow, (reference) =>
    selectFromRequest(reference, source),
  );
  return { ok: true, meta: metaOf(replica, given, target, queueKey), endpoint, target };
}

function refuseTarget(target: Target, given: AdmissionRequest, contentType: string): AdmissionRefusal | null {
  const { definition, flow, instance, integration } = target;
  if (given.endpoint.flow === null) {
    if (!given.skipsKeys) {
      const rule = keyRule(definition.definition, flow, instance.entity, integration.entity);
      const refused = keyRefusal(
        given.keyChecks.refuse(rule, flow.name, given.request, Date.now()),
        instance,
      );
      if (refused !== null) return refused;
    }
    if (!acceptsContentType(flow, contentType, given.body))
      return contentTypeRefusal(flow, contentType, instance);
  }
  return instance.entity.isEnabled || given.invokeType === "TEST" ? null : pausedRefusal(instance);
}

const refusal = (code: ErrorCode, reason: string, instance: CompiledInstance | null): AdmissionRefusal => ({
  ok: false,
  code,
  reason,
  instance,
  isReplayable: false,
});

const keyRefusal = (refused: KeyRefusal | null, instance: CompiledInstance | null): AdmissionRefusal | null =>
  refused && { ...refusal(refused.code, refused.reason, instance), retryAfter: refused.retryAfter };

const contentTypeRefusal = (
  flow: Flow,
  contentType: string,
  instance: CompiledInstance | null,
): AdmissionRefusal =>
  refusal(
    "CONTENT_TYPE_NOT_ACCEPTED",
    `The flow "${flow.name}" does not accept ${JSON.stringify(contentType.slice(0, 200))}.`,
    instance,
  );

const pausedRefusal = (instance: CompiledInstance): AdmissionRefusal => ({
  ok: false,
  code: "INSTANCE_PAUSED",
  reason: `The instance "${instance.entity.name}" is paused.`,
  instance,
  isReplayable: true,
});

export function acceptsContentType(flow: Flow, contentType: string, body: Buffer): boolean {
  if (flow.acceptedContentTypes === null || body.length === 0) return true;
  const mediaType = mediaTypeOf(contentType);
  return flow.acceptedContentTypes.some((accepted) => {
    const wanted = accepted.trim().toLowerCase();
    if (wanted === "*/*" || wanted === mediaType) return true;
    if (wanted.endsWith("/*")) return mediaType.startsWith(wanted.slice(0, -1));
    return (
      wanted.startsWith("*/") &&
      (mediaType.endsWith(wanted.slice(1)) || mediaType.endsWith(`+${wanted.slice(2)}`))
    );
  });
}

/** Where the endpoint reads routing values and ids of its flows' queues from in the body. */
function bodyPaths({ flow, preprocessFlow, source }: Endpoint): string[][] {
  if (flow !== null) return pathsInBody([queueOf(flow)?.dedupe]);
  if (preprocessFlow !== null) return [];
  const { flowName, customer, customerUser } = source.rules;
  const ids = routableFlows(source.definition).map((each) => queueOf(each)?.dedupe);
  return pathsInBody([flowName, customer, customerUser, ...ids]);
}

function pathsInBody(references: readonly (Reference | null | undefined)[]): string[][] {
  return references.flatMap((reference) => {
    const path = reference?.paths[0];
    return path !== undefined && path[0] === "body" ? [path.slice(1)] : [];
  });
}

/** What references select from; a header or query parameter that was sent twice is not there. */
export function sourceOf(
  request: Pick<StoredRequest, "headers" | "query">,
  body: RequestSource["body"],
): RequestSource {
  let query: URLSearchParams | null = null;
  return {
    body,
    header(wanted) {
      let found: string | undefined;
      for (const [name, value] of request.headers) {
        if (name !== wanted && name.toLowerCase() !== wanted) continue;
        if (found !== undefined) return undefined;
        found = value;
      }
      return found;
    },
    queryParameter(name) {
      query ??= new URLSearchParams(request.query);
      const values = query.getAll(name);
      return values.length === 1 ? values[0] : undefined;
    },
  };
}

/** A header's first value. */
export const headerOf = (headers: StoredRequest["headers"], name: string): string | undefined =>
  headers.find(([key]) => key.toLowerCase() === name)?.[1];

function metaOf(
  replica: ReplicaReader,
  given: AdmissionRequest,
  target: Target | null,
  queueKey: string | null = null,
): EntryMeta {
  const { endpoint, request } = given;
  const instance = target?.instance ?? endpoint.instance;
  const flow = (target?.flow ?? endpoint.preprocessFlow)!;
  const route: EntryRoute = {
    kind: target === null ? "preprocess" : "flow",
    endpointKind: endpoint.kind,
    generation: replica.generation,
    instanceId: instance?.entity.id ?? null,
    instanceVersion: instance?.version ?? 0,
    integrationId: endpoint.integration.entity.id,
    integrationVersion: endpoint.integration.version,
    definitionDigest: (target?.definition ?? endpoint.source).digest,
    versionId: endpoint.versionId,
    versionNumber: endpoint.versionNumber,
    flowStableKey: flow.stableKey,
    userId: target?.user?.id ?? null,
  };
  return {
    id: given.executionId,
    invokeType: given.invokeType,
    isDebug: given.isDebug,
    replayOf: given.replayOf,
    invokedBy: given.invokedBy,
    isEndpointTest: given.isEndpointTest,
    isWaiting: given.hasSender === true && !answersAtOnce(target === null ? null : flow, request.headers),
    ...(queueKey === null ? {} : { queueKey }),
    ...(given.retry === undefined ? {} : { retry: given.retry }),
    route,
    request,
  };
}
