/**
 * How entities lie in the replica's file. An instance is three texts: its head (what all instances of a version
 * have in common, stored once), its own part (a JSON array without field names), and its secrets, which the
 * ingress never reads. That makes an instance in the ingress's cache a third of its JSON in the feed.
 */
import { crc32 } from "node:zlib";
import type {
  CustomerUserEntity,
  InstanceEntity,
  InstanceFlowEntity,
  IntegrationEntity,
  KeyEntity,
} from "../../shared/feed.ts";

export interface EncodedInstance {
  head: string;
  /** Everything between the brackets of a JSON array, but the head's number, which comes first. */
  own: string;
  secrets: string;
}

/** What instances of one version share. */
export interface InstanceHead {
  integrationId: string;
  integrationName: string;
  isSystem: boolean;
  versionId: string;
  versionNumber: number;
  definitionDigest: string;
  flows: readonly { stableKey: string; flowId: string }[];
}

type HeadFields = [
  integrationId: string,
  integrationName: string,
  isSystem: 0 | 1,
  versionId: string,
  versionNumber: number,
  definitionDigest: string,
  ...flows: string[],
];
type KeyFields = [id: string, hmac: string, expiresAtMs: number | null, revokedAtMs: number | null];
type FlowFields = [flowConfigId: string, token: string, addresses: string[] | 0, ...keys: KeyFields[]];
/** `hasConfigVars` is there for users with config variables of their own: these are among the secrets. */
type UserFields = [id: string, externalId: string | null, email: string, name: string, hasConfigVars?: 1];
type OwnFields = [
  head: number,
  name: string,
  flags: number,
  customerId: string,
  externalId: string,
  customerName: string,
  users: UserFields[] | 0,
  token: string,
  addresses: string[] | 0,
  ...flows: FlowFields[],
];

const enabledFlag = 1;
const debugFlag = 2;
const ownFieldsBeforeFlows = 9;
const headFieldsBeforeFlows = 6;

export function encodeInstance(entity: InstanceEntity): EncodedInstance {
  const head: HeadFields = [
    entity.integrationId,
    entity.integrationName,
    entity.isSystem ? 1 : 0,
    entity.versionId,
    entity.versionNumber,
    entity.definitionDigest,
  ];
  const flows: FlowFields[] = [];
  const secrets = [entity.sealedConfigVars];
  for (const [stableKey, flow] of Object.entries(entity.flows)) {
    head.push(stableKey, flow.flowId);
    flows.push([
      flow.flowConfigId,
      flow.token,
      zeroIfEmpty(flow.allowedAddresses),
      ...flow.keys.map((key): KeyFields => [key.id, key.hmac, key.expiresAtMs, key.revokedAtMs ?? null]),
    ]);
    for (const key of flow.keys) secrets.push(key.sealed);
  }
  const { id, externalId, name, users } = entity.customer;
  const [, ...own]: OwnFields = [
    0,
    entity.name,
    (entity.isEnabled ? enabledFlag : 0) | (entity.globalDebug ? debugFlag : 0),
    id,
    externalId,
    name,
    zeroIfEmpty(users.map(userFields)),
    entity.token,
    zeroIfEmpty(entity.allowedAddresses),
    ...flows,
  ];
  for (const { sealedConfigVars } of users)
    if (sealedConfigVars !== undefined) secrets.push(sealedConfigVars);
  return {
    head: JSON.stringify(head),
    own: JSON.stringify(own).slice(1, -1),
    secrets: JSON.stringify(secrets),
  };
}

/** The instance's own part as it is stored. */
export const withHead = (head: number, own: string): string => `[${head},${own}]`;

/** The number of the head that a stored own part starts with. */
export const headNumberOf = (data: string): number => Number.parseInt(data.slice(1, data.indexOf(",")), 10);

export function decodeHead(text: string): InstanceHead {
  const fields = JSON.parse(text) as HeadFields;
  const [integrationId, integrationName, isSystem, versionId, versionNumber, definitionDigest] = fields;
  const flows: { stableKey: string; flowId: string }[] = [];
  for (let at = headFieldsBeforeFlows; at < fields.length; at += 2) {
    flows.push({ stableKey: fields[at] as string, flowId: fields[at + 1] as string });
  }
  return {
    integrationId,
    integrationName,
    isSystem: isSystem === 1,
    versionId,
    versionNumber,
    definitionDigest,
    flows,
  };
}

/** `secrets` null leaves the sealed fields empty. */
export function decodeInstance(
  id: string,
  head: InstanceHead,
  data: string,
  secrets: string | null,
): InstanceEntity {
  const fields = JSON.parse(data) as OwnFields;
  const sealed = secrets === null ? null : (JSON.parse(secrets) as string[]);
  let nextSealed = 1;
  const flows: Record<string, InstanceFlowEntity> = {};
  for (let at = 0; at < head.flows.length; at++) {
    const { stableKey, flowId } = head.flows[at]!;
    const flow = fields[ownFieldsBeforeFlows + at] as FlowFields;
    const keys: KeyEntity[] = [];
    for (let index = 3; index < flow.length; index++) {
      const [keyId, hmac, expiresAtMs, revokedAtMs] = flow[index] as KeyFields;
      const keySealed = sealed === null ? "" : sealed[nextSealed++]!;
      keys.push({ id: keyId, hmac, sealed: keySealed, expiresAtMs, revokedAtMs });
    }
    flows[stableKey] = {
      flowId,
      flowConfigId: flow[0],
      token: flow[1],
      keys,
      allowedAddresses: emptyIfZero(flow[2]),
    };
  }
  const flags = fields[2];
  return {
    id,
    name: fields[1],
    integrationId: head.integrationId,
    integrationName: head.integrationName,
    isSystem: head.isSystem,
    isEnabled: (flags & enabledFlag) !== 0,
    globalDebug: (flags & debugFlag) !== 0,
    versionId: head.versionId,
    versionNumber: head.versionNumber,
    definitionDigest: head.definitionDigest,
    customer: {
      id: fields[3],
      externalId: fields[4],
      name: fields[5],
      users: decodeUsers(fields[6], sealed, nextSealed),
    },
    token: fields[7],
    allowedAddresses: emptyIfZero(fields[8]),
    flows,
    sealedConfigVars: sealed === null ? "" : sealed[0]!,
  };
}

/** An integration as JSON with its sealed fields empty, and these beside it in the order they come. */
export function encodeIntegration(entity: IntegrationEntity): { data: string; secrets: string } {
  const secrets: string[] = [];
  const organizationKeys = Object.fromEntries(
    Object.entries(entity.organizationKeys).map(([stableKey, keys]) => [
      stableKey,
      keys.map((key) => {
        secrets.push(key.sealed);
        return { ...key, sealed: "" };
      }),
    ]),
  );
  return { data: JSON.stringify({ ...entity, organizationKeys }), secrets: JSON.stringify(secrets) };
}

export function decodeIntegration(data: string, secrets: string | null): IntegrationEntity {
  const entity = JSON.parse(data) as IntegrationEntity;
  if (secrets === null) return entity;
  const sealed = JSON.parse(secrets) as string[];
  let next = 0;
  for (const keys of Object.values(entity.organizationKeys)) {
    for (const key of keys) key.sealed = sealed[next++]!;
  }
  return entity;
}

/** Tells a row that was damaged on the disk where SQLite has no reason to look. */
export const checksumOf = (id: string, version: number, data: string): number =>
  crc32(data, crc32(id, version >>> 0));

const zeroIfEmpty = <Item>(list: Item[] | undefined): Item[] | 0 =>
  list === undefined || list.length === 0 ? 0 : list;

const emptyIfZero = (list: string[] | 0): string[] => (list === 0 ? [] : list);

const userFields = ({ id, externalId, email, name, sealedConfigVars }: CustomerUserEntity): UserFields =>
  sealedConfigVars === undefined ? [id, externalId, email, name] : [id, externalId, email, name, 1];

function decodeUsers(
  users: UserFields[] | 0,
  sealed: readonly string[] | null,
  firstSealed: number,
): CustomerUserEntity[] {
  if (users === 0) return [];
  let nextSealed = firstSealed;
  return users.map(([id, externalId, email, name, hasConfigVars]) =>
    hasConfigVars === 1
      ? { id, externalId, email, name, sealedConfigVars: sealed === null ? "" : sealed[nextSealed++]! }
      : { id, externalId, email, name },
  );
}
