/**
 * The control plane's tables, as Kysely reads them. Times are milliseconds since the epoch; flags are 0 or 1;
 * columns that end in `Json` hold JSON text. Configuration and executions are two databases.
 */

import type { Generated } from "kysely";
import type { StateScope } from "../../shared/states.ts";

/** `config.db` */
export interface ConfigTables {
  meta: MetaTable;
  tokens: TokensTable;
  users: UsersTable;
  customers: CustomersTable;
  integrations: IntegrationsTable;
  versions: VersionsTable;
  definitions: DefinitionsTable;
  flows: FlowsTable;
  components: ComponentsTable;
  instances: InstancesTable;
  instanceConfigVariables: InstanceConfigVariablesTable;
  userLevelConfigs: UserLevelConfigsTable;
  usedOauthStates: UsedOauthStatesTable;
  instanceFlowConfigs: InstanceFlowConfigsTable;
  schedules: SchedulesTable;
  apiKeys: ApiKeysTable;
  feedEntities: FeedEntitiesTable;
  dataPlanes: DataPlanesTable;
  commands: CommandsTable;
  signingKeys: SigningKeysTable;
  auditLog: AuditLogTable;
}

/** `executions.db`; of `executionLogs`, `executionSections` and `executionSteps`, views, nothing can be written. */
export interface ExecutionTables {
  executions: ExecutionsTable;
  executionBuckets: ExecutionBucketsTable;
  executionEvents: ExecutionEventsTable;
  executionLogs: ExecutionLogsTable;
  executionSections: ExecutionSectionsTable;
  executionSteps: ExecutionStepsTable;
  rejections: RejectionsTable;
  retries: RetriesTable;
  bulkReplays: BulkReplaysTable;
  bulkReplayItems: BulkReplayItemsTable;
  usageDays: UsageDaysTable;
  usageCounted: UsageCountedTable;
  flowStates: FlowStatesTable;
}

/** `epoch`, `feedVersion`, `wrappedPepper`, `masterKeyCheck`, `resealedUnder`, `organizationId`, `organizationName`, ... */
interface MetaTable {
  key: string;
  value: string;
}

/** `ORGANIZATION` and `CUSTOMER` tokens act for a user, whose role says what they may do. */
export type TokenRole = "ADMIN" | "DATA_PLANE" | "ORGANIZATION" | "CUSTOMER";

interface TokensTable {
  id: string;
  role: TokenRole;
  /** The user it acts for; null for the first admin token and for data planes. */
  userId: string | null;
  name: string;
  hash: string;
  createdAtMs: number;
  expiresAtMs: number | null;
  revokedAtMs: number | null;
  /** At most a minute old. */
  lastUsedAtMs: number | null;
}

interface UsersTable {
  id: string;
  /** Null for users of the organization. */
  customerId: string | null;
  email: string;
  name: string;
  externalId: string | null;
  phone: string;
  role: string;
  createdAtMs: number;
}

interface CustomersTable {
  id: string;
  externalId: string | null;
  name: string;
  description: string;
  labelsJson: string;
  /** 1 for the test customer. */
  isSystem: number;
  createdAtMs: number;
  updatedAtMs: number;
}

/** An integration; its id is also the id of its draft. */
interface IntegrationsTable {
  id: string;
  name: string;
  description: string;
  category: string;
  labelsJson: string;
  avatarUrl: string | null;
  customerId: string | null;
  /** Token of the shared URL. */
  token: string;
  isCodeNative: number;
  /** The draft: null until something was imported. Its YAML has no organization keys. */
  draftYaml: string | null;
  draftDigest: string | null;
  /** Who may post to the shared URL: JSON list of addresses and CIDR ranges. */
  allowedAddressesJson: string;
  /** 1 where each instance has the version's modules to itself. */
  isolatesInstances: number;
  createdAtMs: number;
  updatedAtMs: number;
}

interface VersionsTable {
  id: string;
  integrationId: string;
  number: number;
  definitionDigest: string;
  yaml: string;
  comment: string;
  attributesJson: string | null;
  isAvailable: number;
  createdAtMs: number;
  createdByUserId: string | null;
}

interface DefinitionsTable {
  digest: string;
  definitionJson: string;
}

/** A flow of a draft (`ownerId` is the integration's id) or of a version. */
interface FlowsTable {
  id: string;
  ownerId: string;
  integrationId: string;
  stableKey: string;
  position: number;
}

export type ComponentStatus = "PENDING" | "READY" | "REFUSED";

interface ComponentsTable {
  id: string;
  key: string;
  versionNumber: number;
  isCodeNative: number;
  label: string;
  description: string;
  category: string;
  documentationUrl: string;
  customerId: string | null;
  /** `{actions, triggers, dataSources, connections}` as published. */
  definitionJson: string;
  comment: string;
  attributesJson: string | null;
  iconUrl: string | null;
  status: ComponentStatus;
  /** Why the package was refused. */
  refusal: string | null;
  /** SHA-1 (hex) of the package: what `prism components:signature` compares. */
  signature: string | null;
  /** SHA-256 (hex) of the package: the bundle's digest. */
  digest: string | null;
  createdAtMs: number;
  createdByUserId: string | null;
}

interface InstancesTable {
  id: string;
  integrationId: string;
  customerId: string;
  /** The version it is set to; null for a system instance, which is on the draft. */
  versionId: string | null;
  /** The version it runs on; null until the first deploy. */
  deployedVersionId: string | null;
  /** JSON of the config variables that were deployed, sealed. */
  deployedSealedConfigVars: string | null;
  deployedAtMs: number | null;
  /** When the first deploy that was not undone was done; null before. */
  firstDeployedAtMs: number | null;
  name: string;
  description: string;
  labelsJson: string;
  isSystem: number;
  enabled: number;
  globalDebug: number;
  /** Something was changed since the last deploy. */
  needsDeploy: number;
  /** Token of the instance's URL. */
  token: string;
  /** Who may post to the instance's URL: JSON list of addresses and CIDR ranges. */
  allowedAddressesJson: string;
  createdAtMs: number;
  updatedAtMs: number;
}

interface InstanceConfigVariablesTable {
  id: string;
  instanceId: string;
  /** The user of the customer whose value it is; null for the instance's own. */
  userId: string | null;
  key: string;
  /** `StoredConfigVariable` as JSON, tokens included, sealed under the master key; null where none was given. */
  sealedValue: string | null;
  updatedAtMs: number;
  /** Of an OAuth connection; null where there was nothing to fetch yet. */
  oauthStatus: "ACTIVE" | "ERROR" | "PENDING" | null;
  oauthError: string | null;
  /** When the token is fetched anew, or null where it is not. */
  refreshAtMs: number | null;
  /** When that last went well. */
  refreshedAtMs: number | null;
  expiresAtMs: number | null;
  /** Failed attempts since it last went well. */
  failures: number;
}

/** What one user of the customer has configured for an instance. */
interface UserLevelConfigsTable {
  id: string;
  instanceId: string;
  userId: string;
  /** JSON of the user's config variables as runs see them, sealed; null before the instance's first deploy. */
  deployedSealedConfigVars: string | null;
  createdAtMs: number;
  updatedAtMs: number;
}

/** Authorizations that have come back: none comes back twice. */
interface UsedOauthStatesTable {
  nonce: string;
  expiresAtMs: number;
}

/** One flow of one instance; kept for each stable key the instance ever had, so that URLs survive. */
interface InstanceFlowConfigsTable {
  id: string;
  instanceId: string;
  stableKey: string;
  /** Token of the flow's own URL. */
  token: string;
  /** Who may post to the flow's own URL: JSON list of addresses and CIDR ranges. */
  allowedAddressesJson: string;
}

/** A scheduled flow of a deployed, enabled instance. */
interface SchedulesTable {
  instanceId: string;
  stableKey: string;
  cron: string;
  /** IANA name; "" for UTC. */
  timeZone: string;
  /** Null where no time is to come. */
  nextAtMs: number | null;
  /** 1 where its time was missed, and what it started last has not ended: then that is waited for. */
  isLate: number;
  /** The execution that it started last. */
  lastExecutionId: string | null;
}

interface ApiKeysTable {
  id: string;
  /** `INSTANCE`: the customer's keys of one instance's flow. `INTEGRATION`: the organization's keys. */
  ownerType: "INSTANCE" | "INTEGRATION";
  ownerId: string;
  stableKey: string;
  name: string;
  hmac: string;
  sealed: string;
  prefix: string;
  last4: string;
  createdAtMs: number;
  createdBy: string;
  lastUsedAtMs: number | null;
  expiresAtMs: number | null;
  revokedAtMs: number | null;
  /** The key that this one took the place of, or null. */
  rotatedFromId: string | null;
}

/** A public key of the organization: who signs with its private half speaks for customers' users. */
interface SigningKeysTable {
  id: string;
  /** PEM (SPKI). */
  publicKey: string;
  /** What is shown of the private key that was generated; empty for one that was imported. */
  privateKeyPreview: string;
  isImported: number;
  createdAtMs: number;
  createdBy: string;
}

/** What was changed, by whom. Rows are only added, and pruned by age. */
interface AuditLogTable {
  id: string;
  atMs: number;
  /** A user's id, `admin` for the first token, `data-plane`, or `system`. */
  actor: string;
  actorRole: string;
  tokenId: string | null;
  remoteAddress: string;
  requestId: string;
  /** The mutation's name. */
  action: string;
  /** Node id of the main object, or null where there was none. */
  objectId: string | null;
  /** The customer that it concerns, or null. */
  customerId: string | null;
  /** `SUCCEEDED`, or `REFUSED` with the payload's errors in `detailJson`. */
  outcome: string;
  /** JSON `{input, before, after, errors}` with secrets left out. */
  detailJson: string;
}

/** The version of each entity's last change; the entity itself is read from the other tables. */
interface FeedEntitiesTable {
  kind: string;
  id: string;
  version: number;
}

interface DataPlanesTable {
  id: string;
  name: string;
  servedEpoch: string;
  servedVersion: number;
  lastSeenAtMs: number;
}

export type CommandState = "QUEUED" | "LEASED" | "DONE" | "FAILED";

interface CommandsTable {
  id: string;
  kind: string;
  payloadJson: string;
  /** The one data plane that it is for; null for any. */
  dataPlaneId: string | null;
  state: CommandState;
  leasedBy: string | null;
  leasedUntilMs: number | null;
  attempts: number;
  error: string | null;
  /** What it gave, sealed, until it is read. */
  sealedResult: string | null;
  createdAtMs: number;
  finishedAtMs: number | null;
}

export type ExecutionStatus = "QUEUED" | "RUNNING" | "SUCCEEDED" | "FAILED";

interface ExecutionsTable {
  id: string;
  status: ExecutionStatus;
  invokeType: string;
  isTest: number;
  isDebug: number;
  attempt: number;
  startedAtMs: number;
  endedAtMs: number | null;
  errorCode: string | null;
  error: string | null;
  answerStatus: number | null;
  integrationId: string;
  versionId: string;
  versionNumber: number;
  /** Null where a shared endpoint's request was not routed to a customer. */
  instanceId: string | null;
  customerId: string | null;
  customerUserId: string | null;
  flowId: string | null;
  flowConfigId: string | null;
  flowStableKey: string | null;
  flowName: string | null;
  preprocessFlowName: string | null;
  replayOf: string | null;
  invokedBy: string | null;
  /** 1 where one of its events has the request. */
  hasRequest: number;
  /** Bytes that the record takes, for retention. */
  bytes: number;
  /** The bucket that `startedAtMs` lies in: see `executionBuckets.ts`. */
  bucketAtMs: number;
  /** Of a retry: the execution that failed first. */
  retryOf: string | null;
  /** Which retry it is, from 1; 0 where it is none. */
  retryNumber: number;
  /** How many retries there may be; 0 where its flow has none. */
  maxRetryCount: number;
  uniqueRequestId: string | null;
  /** When it is to be run again; null where it is not. */
  retryNextAtMs: number | null;
  /** A `ResultType`; null where it ran to its end, or has not ended. */
  resultType: string | null;
}

/** The failed executions of a time, being repeated. */
interface BulkReplaysTable {
  id: string;
  state: "RUNNING" | "DONE" | "CANCELED";
  /** A `BulkReplayFilter`. */
  filterJson: string;
  perSecond: number;
  /** What there was to repeat when it began, counted up to a bound. */
  total: number;
  replayed: number;
  /** Passed over, since their requests were not stored any more. */
  skipped: number;
  /** It has come up to this one. */
  cursorAtMs: number;
  cursorId: string;
  /** Commands of records that are there already; null where all are queued. */
  pendingJson: string | null;
  createdBy: string;
  createdAtMs: number;
  finishedAtMs: number | null;
}

/** What the runs of an instance came to on a day (UTC). */
interface UsageDaysTable {
  day: string;
  instanceId: string;
  customerId: string;
  succeeded: number;
  failed: number;
  steps: number;
  /** From their first step to their last. */
  runMs: number;
}

/** One row. */
interface UsageCountedTable {
  /** `usageDays` counts events up to this rowid. */
  upTo: number;
}

interface BulkReplayItemsTable {
  executionId: string;
  bulkReplayId: string;
}

/** `STARTING`: its record is there, and its command may be. */
export type RetryState = "WAITING" | "STARTING" | "STARTED" | "CANCELED";

/** What failed and is to be run again. */
interface RetriesTable {
  /** Of the execution that will run. */
  id: string;
  /** The execution that failed. */
  executionId: string;
  /** The one that failed first: that itself, or what it was a retry of. */
  originId: string;
  originStartedAtMs: number;
  number: number;
  instanceId: string;
  flowStableKey: string;
  uniqueRequestId: string | null;
  dueAtMs: number;
  state: RetryState;
}

interface ExecutionBucketsTable {
  /** The earliest time that lies in it; it reaches to the next one. */
  atMs: number;
}

/** What was reported, once: the same event twice changes nothing. The lists are lists of lists, as the views read them. */
interface ExecutionEventsTable {
  executionId: string;
  /** -1 for the request of an execution that the control plane has started itself. */
  attempt: number;
  sequence: number;
  /** The highest position of its logs and steps, 0 without any. */
  lastPosition: number;
  logsJson: string | null;
  sectionsJson: string | null;
  stepsJson: string | null;
  /** `StoredRequest`, in one event of an execution at most. */
  requestJson: string | null;
  /** The results of its steps, one after the other. */
  stepResults: Buffer | null;
}

interface ExecutionLogsTable {
  executionId: string;
  attempt: number;
  sequence: number;
  part: string;
  atMs: number;
  severity: string;
  message: string;
  stepName: string | null;
  sectionId: string | null;
}

interface ExecutionSectionsTable {
  executionId: string;
  attempt: number;
  sectionId: string;
  label: string;
  startedAtMs: number;
}

interface ExecutionStepsTable {
  executionId: string;
  attempt: number;
  sequence: number;
  part: string;
  stepName: string;
  stepStableKey: string;
  /** Null outside of loops. */
  loopPath: string | null;
  startedAtMs: number;
  endedAtMs: number;
  error: string | null;
  /** msgpack of `{data, contentType}`. */
  results: Buffer;
  isTruncated: number;
}

interface RejectionsTable {
  id: string;
  atMs: number;
  code: string;
  status: number;
  reason: string;
  requestId: string;
  integrationId: string | null;
  instanceId: string | null;
  customerId: string | null;
  method: string;
  remoteAddress: string;
  count: number;
  requestJson: string | null;
  /** The execution that a replay of it made. */
  replayedByExecutionId: string | null;
  bytes: number;
}

/** State that flows keep between runs: see `shared/states.ts`. */
interface FlowStatesTable {
  /** In the order in which they came to be. */
  position: Generated<number>;
  ownerId: string;
  scope: StateScope;
  stableKey: string;
  stamp: number;
  /** The execution that wrote it, or "" where it was cleared. */
  executionId: string;
  /** As it travels (`packState`); null where it was cleared. */
  value: string | null;
}
