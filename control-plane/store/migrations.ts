/** The numbered migrations of both databases. A migration that has landed is never changed. */

export const configMigrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, userId TEXT REFERENCES users(id) ON DELETE CASCADE, name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE, createdAtMs INTEGER NOT NULL, expiresAtMs INTEGER, revokedAtMs INTEGER
  );
  CREATE TABLE customers (
    id TEXT PRIMARY KEY, externalId TEXT UNIQUE, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
    labelsJson TEXT NOT NULL DEFAULT '[]', isSystem INTEGER NOT NULL DEFAULT 0,
    createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL
  );
  CREATE TABLE users (
    id TEXT PRIMARY KEY, customerId TEXT REFERENCES customers(id) ON DELETE CASCADE, email TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '', externalId TEXT, phone TEXT NOT NULL DEFAULT '', role TEXT NOT NULL,
    createdAtMs INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX usersByEmail ON users (email);
  CREATE UNIQUE INDEX usersByExternalId ON users (customerId, externalId);
  CREATE TABLE integrations (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', category TEXT NOT NULL DEFAULT '',
    labelsJson TEXT NOT NULL DEFAULT '[]', avatarUrl TEXT, customerId TEXT REFERENCES customers(id),
    token TEXT NOT NULL UNIQUE, isCodeNative INTEGER NOT NULL DEFAULT 0, draftYaml TEXT, draftDigest TEXT,
    createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL
  );
  CREATE INDEX integrationsByName ON integrations (name);
  CREATE TABLE versions (
    id TEXT PRIMARY KEY, integrationId TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE, number INTEGER NOT NULL,
    definitionDigest TEXT NOT NULL, yaml TEXT NOT NULL, comment TEXT NOT NULL DEFAULT '', attributesJson TEXT,
    isAvailable INTEGER NOT NULL DEFAULT 1, createdAtMs INTEGER NOT NULL, createdByUserId TEXT,
    UNIQUE (integrationId, number)
  );
  CREATE TABLE definitions (digest TEXT PRIMARY KEY, definitionJson TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE flows (
    id TEXT PRIMARY KEY, ownerId TEXT NOT NULL, integrationId TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
    stableKey TEXT NOT NULL, position INTEGER NOT NULL, UNIQUE (ownerId, stableKey)
  );
  CREATE TABLE components (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, versionNumber INTEGER NOT NULL, isCodeNative INTEGER NOT NULL DEFAULT 0,
    label TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', category TEXT NOT NULL DEFAULT '',
    documentationUrl TEXT NOT NULL DEFAULT '', customerId TEXT REFERENCES customers(id), definitionJson TEXT NOT NULL,
    comment TEXT NOT NULL DEFAULT '', attributesJson TEXT, iconUrl TEXT, status TEXT NOT NULL, refusal TEXT,
    signature TEXT, digest TEXT, createdAtMs INTEGER NOT NULL, createdByUserId TEXT, UNIQUE (key, versionNumber)
  );
  CREATE TABLE instances (
    id TEXT PRIMARY KEY, integrationId TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
    customerId TEXT NOT NULL REFERENCES customers(id), versionId TEXT REFERENCES versions(id),
    deployedVersionId TEXT REFERENCES versions(id), deployedSealedConfigVars TEXT, deployedAtMs INTEGER,
    name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', labelsJson TEXT NOT NULL DEFAULT '[]',
    isSystem INTEGER NOT NULL DEFAULT 0, enabled INTEGER NOT NULL DEFAULT 1, globalDebug INTEGER NOT NULL DEFAULT 0,
    needsDeploy INTEGER NOT NULL DEFAULT 1, token TEXT NOT NULL UNIQUE,
    createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL
  );
  CREATE INDEX instancesByIntegration ON instances (integrationId, isSystem);
  CREATE INDEX instancesByCustomer ON instances (customerId);
  CREATE TABLE instanceConfigVariables (
    id TEXT PRIMARY KEY, instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE, key TEXT NOT NULL,
    sealedValue TEXT, updatedAtMs INTEGER NOT NULL, UNIQUE (instanceId, key)
  );
  CREATE TABLE instanceFlowConfigs (
    id TEXT PRIMARY KEY, instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE, stableKey TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE, UNIQUE (instanceId, stableKey)
  );
  CREATE TABLE apiKeys (
    id TEXT PRIMARY KEY, ownerType TEXT NOT NULL, ownerId TEXT NOT NULL, stableKey TEXT NOT NULL, name TEXT NOT NULL,
    hmac TEXT NOT NULL, sealed TEXT NOT NULL, prefix TEXT NOT NULL, last4 TEXT NOT NULL, createdAtMs INTEGER NOT NULL,
    createdBy TEXT NOT NULL, lastUsedAtMs INTEGER, expiresAtMs INTEGER, revokedAtMs INTEGER,
    UNIQUE (ownerType, ownerId, stableKey, hmac)
  );
  CREATE TABLE feedEntities (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, id)
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX feedEntitiesByVersion ON feedEntities (version);
  CREATE TABLE dataPlanes (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, servedEpoch TEXT NOT NULL DEFAULT '', servedVersion INTEGER NOT NULL DEFAULT 0,
    lastSeenAtMs INTEGER NOT NULL
  );
  CREATE TABLE commands (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, payloadJson TEXT NOT NULL, state TEXT NOT NULL, leasedBy TEXT,
    leasedUntilMs INTEGER, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, createdAtMs INTEGER NOT NULL, finishedAtMs INTEGER
  );
  CREATE INDEX commandsByState ON commands (state, createdAtMs);
  `,
  `
  ALTER TABLE tokens ADD COLUMN lastUsedAtMs INTEGER;
  ALTER TABLE apiKeys ADD COLUMN rotatedFromId TEXT;
  ALTER TABLE integrations ADD COLUMN allowedAddressesJson TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE instances ADD COLUMN allowedAddressesJson TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE instanceFlowConfigs ADD COLUMN allowedAddressesJson TEXT NOT NULL DEFAULT '[]';
  UPDATE tokens SET role = 'ORGANIZATION' WHERE role = 'ADMIN' AND userId IS NOT NULL;
  CREATE TABLE signingKeys (
    id TEXT PRIMARY KEY, publicKey TEXT NOT NULL UNIQUE, privateKeyPreview TEXT NOT NULL, isImported INTEGER NOT NULL,
    createdAtMs INTEGER NOT NULL, createdBy TEXT NOT NULL
  );
  CREATE TABLE auditLog (
    id TEXT PRIMARY KEY, atMs INTEGER NOT NULL, actor TEXT NOT NULL, actorRole TEXT NOT NULL, tokenId TEXT,
    remoteAddress TEXT NOT NULL, requestId TEXT NOT NULL, action TEXT NOT NULL, objectId TEXT, customerId TEXT,
    outcome TEXT NOT NULL, detailJson TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX auditLogByTime ON auditLog (atMs);
  CREATE INDEX auditLogByObject ON auditLog (objectId, atMs);
  CREATE INDEX auditLogByActor ON auditLog (actor, atMs);
  CREATE TRIGGER auditLogIsAppendOnly BEFORE UPDATE ON auditLog BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  `,
  // Each change of an instance asks for the latest version that is deployed: without it, of all instances.
  `
  CREATE INDEX instancesByDeployedVersion ON instances (deployedVersionId, isSystem);
  `,
  // What was deployed before has no rows until it is deployed again: there is no definition here to read it from.
  `
  CREATE TABLE schedules (
    instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE, stableKey TEXT NOT NULL, cron TEXT NOT NULL,
    timeZone TEXT NOT NULL,
    nextAtMs INTEGER, isLate INTEGER NOT NULL DEFAULT 0, lastExecutionId TEXT, PRIMARY KEY (instanceId, stableKey)
  ) WITHOUT ROWID;
  CREATE INDEX schedulesByNext ON schedules (nextAtMs) WHERE nextAtMs IS NOT NULL;
  `,
  // Config variables of users beside those of instances, OAuth connections, and commands that give a result.
  `
  CREATE TABLE newConfigVariables (
    id TEXT PRIMARY KEY, instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
    userId TEXT REFERENCES users(id) ON DELETE CASCADE, key TEXT NOT NULL, sealedValue TEXT, updatedAtMs INTEGER NOT NULL,
    oauthStatus TEXT, oauthError TEXT, refreshAtMs INTEGER, refreshedAtMs INTEGER, expiresAtMs INTEGER,
    failures INTEGER NOT NULL DEFAULT 0
  );
  INSERT INTO newConfigVariables (id, instanceId, key, sealedValue, updatedAtMs)
    SELECT id, instanceId, key, sealedValue, updatedAtMs FROM instanceConfigVariables;
  DROP TABLE instanceConfigVariables;
  ALTER TABLE newConfigVariables RENAME TO instanceConfigVariables;
  CREATE UNIQUE INDEX configVariablesOfInstances ON instanceConfigVariables (instanceId, key) WHERE userId IS NULL;
  CREATE UNIQUE INDEX configVariablesOfUsers ON instanceConfigVariables (instanceId, userId, key) WHERE userId IS NOT NULL;
  CREATE INDEX configVariablesByUser ON instanceConfigVariables (userId) WHERE userId IS NOT NULL;
  CREATE INDEX configVariablesToRefresh ON instanceConfigVariables (refreshAtMs) WHERE refreshAtMs IS NOT NULL;
  CREATE TABLE userLevelConfigs (
    id TEXT PRIMARY KEY, instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE,
    userId TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, deployedSealedConfigVars TEXT,
    createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL, UNIQUE (instanceId, userId)
  );
  CREATE INDEX userLevelConfigsByUser ON userLevelConfigs (userId);
  CREATE TABLE usedOauthStates (nonce TEXT PRIMARY KEY, expiresAtMs INTEGER NOT NULL) WITHOUT ROWID;
  ALTER TABLE commands ADD COLUMN sealedResult TEXT;
  `,
  // Commands that are for one data plane.
  `
  ALTER TABLE commands ADD COLUMN dataPlaneId TEXT;
  `,
  // What was deployed before has had its first deploy.
  `
  ALTER TABLE instances ADD COLUMN firstDeployedAtMs INTEGER;
  UPDATE instances SET firstDeployedAtMs = deployedAtMs WHERE deployedVersionId IS NOT NULL;
  `,
  // Modules of its own for each instance.
  `
  ALTER TABLE integrations ADD COLUMN isolatesInstances INTEGER NOT NULL DEFAULT 0;
  `,
];

export const executionMigrations: readonly string[] = [
  `
  CREATE TABLE executions (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, invokeType TEXT NOT NULL, isTest INTEGER NOT NULL, isDebug INTEGER NOT NULL,
    attempt INTEGER NOT NULL, startedAtMs INTEGER NOT NULL, endedAtMs INTEGER, errorCode TEXT, error TEXT,
    answerStatus INTEGER, integrationId TEXT NOT NULL, versionId TEXT NOT NULL, versionNumber INTEGER NOT NULL,
    instanceId TEXT, customerId TEXT, customerUserId TEXT, flowId TEXT, flowConfigId TEXT, flowStableKey TEXT,
    flowName TEXT, preprocessFlowName TEXT, replayOf TEXT, invokedBy TEXT, requestJson TEXT, bytes INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX executionsByStart ON executions (startedAtMs);
  CREATE INDEX executionsByInstance ON executions (instanceId, startedAtMs);
  CREATE INDEX executionsByCustomer ON executions (customerId, startedAtMs);
  CREATE INDEX executionsByIntegration ON executions (integrationId, startedAtMs);
  CREATE INDEX executionsByReplay ON executions (replayOf) WHERE replayOf IS NOT NULL;
  CREATE TABLE executionEvents (
    executionId TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (executionId, attempt, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE executionLogs (
    executionId TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, part TEXT NOT NULL, atMs INTEGER NOT NULL,
    severity TEXT NOT NULL, message TEXT NOT NULL, stepName TEXT, sectionId TEXT,
    PRIMARY KEY (executionId, attempt, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE executionSections (
    executionId TEXT NOT NULL, attempt INTEGER NOT NULL, sectionId TEXT NOT NULL, label TEXT NOT NULL,
    startedAtMs INTEGER NOT NULL, PRIMARY KEY (executionId, attempt, sectionId)
  ) WITHOUT ROWID;
  CREATE TABLE executionSteps (
    executionId TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, part TEXT NOT NULL,
    stepName TEXT NOT NULL, stepStableKey TEXT NOT NULL, startedAtMs INTEGER NOT NULL, endedAtMs INTEGER NOT NULL,
    error TEXT, results BLOB NOT NULL, isTruncated INTEGER NOT NULL,
    PRIMARY KEY (executionId, attempt, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE rejections (
    id TEXT PRIMARY KEY, atMs INTEGER NOT NULL, code TEXT NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL,
    requestId TEXT NOT NULL, integrationId TEXT, instanceId TEXT, customerId TEXT, method TEXT NOT NULL,
    remoteAddress TEXT NOT NULL, count INTEGER NOT NULL, requestJson TEXT, replayedByExecutionId TEXT, bytes INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX rejectionsByTime ON rejections (atMs);
  CREATE INDEX rejectionsByIntegration ON rejections (integrationId, atMs);
  CREATE INDEX rejectionsByInstance ON rejections (instanceId, atMs);
  `,
  // One row for an execution and one for each event of it, whose parts are lists inside; they are read through views.
  // The request goes to an event, so that lists of executions do not read past it.
  `
  CREATE TABLE executionBuckets (atMs INTEGER PRIMARY KEY);
  INSERT INTO executionBuckets VALUES (0);
  INSERT INTO executionBuckets SELECT max(startedAtMs) + 1 FROM executions HAVING count(*) > 0;
  ALTER TABLE executions RENAME TO oldExecutions;
  ALTER TABLE executionEvents RENAME TO oldEvents;
  ALTER TABLE executionLogs RENAME TO oldLogs;
  ALTER TABLE executionSections RENAME TO oldSections;
  ALTER TABLE executionSteps RENAME TO oldSteps;
  CREATE TABLE executions (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, invokeType TEXT NOT NULL, isTest INTEGER NOT NULL, isDebug INTEGER NOT NULL,
    attempt INTEGER NOT NULL, startedAtMs INTEGER NOT NULL, endedAtMs INTEGER, errorCode TEXT, error TEXT,
    answerStatus INTEGER, integrationId TEXT NOT NULL, versionId TEXT NOT NULL, versionNumber INTEGER NOT NULL,
    instanceId TEXT, customerId TEXT, customerUserId TEXT, flowId TEXT, flowConfigId TEXT, flowStableKey TEXT,
    flowName TEXT, preprocessFlowName TEXT, replayOf TEXT, invokedBy TEXT, hasRequest INTEGER NOT NULL,
    bytes INTEGER NOT NULL, bucketAtMs INTEGER NOT NULL
  ) WITHOUT ROWID;
  INSERT INTO executions SELECT id, status, invokeType, isTest, isDebug, attempt, startedAtMs, endedAtMs, errorCode, error,
    answerStatus, integrationId, versionId, versionNumber, instanceId, customerId, customerUserId, flowId, flowConfigId,
    flowStableKey, flowName, preprocessFlowName, replayOf, invokedBy, requestJson IS NOT NULL, bytes, 0 FROM oldExecutions;
  CREATE TABLE executionEvents (
    executionId TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, lastPosition INTEGER NOT NULL,
    logsJson TEXT, sectionsJson TEXT, stepsJson TEXT, requestJson TEXT, stepResults BLOB,
    UNIQUE (executionId, attempt, sequence)
  );
  INSERT INTO executionEvents
    SELECT event.executionId, event.attempt, event.sequence, coalesce(max(
        (SELECT max(sequence) FROM oldLogs AS log WHERE log.executionId = event.executionId AND log.attempt = event.attempt),
        (SELECT max(sequence) FROM oldSteps AS step WHERE step.executionId = event.executionId AND step.attempt = event.attempt)
      ), 9007199254740991),
      (SELECT json_group_array(json_array(part, sequence, atMs, severity, message, stepName, sectionId) ORDER BY sequence)
        FROM oldLogs AS log WHERE log.executionId = event.executionId AND log.attempt = event.attempt AND isFirst),
      (SELECT json_group_array(json_array(sectionId, label, startedAtMs))
        FROM oldSections AS section
        WHERE section.executionId = event.executionId AND section.attempt = event.attempt AND isFirst),
      (SELECT json_group_array(json_array(part, sequence, stepName, stepStableKey, startedAtMs, endedAtMs, error,
          isTruncated, length(results),
          (SELECT coalesce(sum(length(results)), 0) FROM oldSteps AS before
            WHERE before.executionId = event.executionId AND before.attempt = event.attempt AND before.sequence < step.sequence)
          ) ORDER BY sequence)
        FROM oldSteps AS step WHERE step.executionId = event.executionId AND step.attempt = event.attempt AND isFirst),
      NULL,
      (SELECT unhex(group_concat(hex(results), '' ORDER BY sequence))
        FROM oldSteps AS step WHERE step.executionId = event.executionId AND step.attempt = event.attempt AND isFirst)
    FROM (
      SELECT *, sequence = min(sequence) OVER (PARTITION BY executionId, attempt) AS isFirst FROM oldEvents
    ) AS event;
  INSERT INTO executionEvents
    SELECT id, -1, 0, 0, NULL, NULL, NULL, requestJson, NULL FROM oldExecutions WHERE requestJson IS NOT NULL;
  DROP TABLE oldExecutions;
  DROP TABLE oldEvents;
  DROP TABLE oldLogs;
  DROP TABLE oldSections;
  DROP TABLE oldSteps;
  CREATE INDEX executionsByStart ON executions (startedAtMs);
  CREATE INDEX executionsByInstance ON executions (bucketAtMs, instanceId, startedAtMs);
  CREATE INDEX executionsByCustomer ON executions (bucketAtMs, customerId, startedAtMs);
  CREATE INDEX executionsByReplay ON executions (replayOf) WHERE replayOf IS NOT NULL;
  CREATE INDEX executionsQueued ON executions (startedAtMs) WHERE status = 'QUEUED';
  CREATE VIEW executionLogs AS
    SELECT executionId, attempt, line.value ->> 1 AS sequence, line.value ->> 0 AS part, line.value ->> 2 AS atMs,
      line.value ->> 3 AS severity, line.value ->> 4 AS message, line.value ->> 5 AS stepName, line.value ->> 6 AS sectionId
    FROM executionEvents, json_each(logsJson) AS line;
  CREATE VIEW executionSections AS
    SELECT executionId, attempt, section.value ->> 0 AS sectionId, section.value ->> 1 AS label,
      section.value ->> 2 AS startedAtMs
    FROM executionEvents, json_each(sectionsJson) AS section;
  CREATE VIEW executionSteps AS
    SELECT executionId, attempt, step.value ->> 1 AS sequence, step.value ->> 0 AS part, step.value ->> 2 AS stepName,
      step.value ->> 3 AS stepStableKey, step.value ->> 4 AS startedAtMs, step.value ->> 5 AS endedAtMs,
      step.value ->> 6 AS error, step.value ->> 7 AS isTruncated,
      substr(stepResults, (step.value ->> 9) + 1, step.value ->> 8) AS results
    FROM executionEvents, json_each(stepsJson) AS step;
  `,
  // Retries of failed executions.
  `
  ALTER TABLE executions ADD COLUMN retryOf TEXT;
  ALTER TABLE executions ADD COLUMN retryNumber INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE executions ADD COLUMN maxRetryCount INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE executions ADD COLUMN uniqueRequestId TEXT;
  ALTER TABLE executions ADD COLUMN retryNextAtMs INTEGER;
  CREATE INDEX executionsByRetry ON executions (retryOf, retryNumber) WHERE retryOf IS NOT NULL;
  CREATE INDEX executionsByRequestId ON executions (uniqueRequestId, instanceId, flowStableKey)
    WHERE uniqueRequestId IS NOT NULL;
  CREATE INDEX executionsByRetryTime ON executions (retryNextAtMs) WHERE retryNextAtMs IS NOT NULL;
  CREATE TABLE retries (
    id TEXT PRIMARY KEY, executionId TEXT NOT NULL, originId TEXT NOT NULL, originStartedAtMs INTEGER NOT NULL,
    number INTEGER NOT NULL, instanceId TEXT NOT NULL, flowStableKey TEXT NOT NULL, uniqueRequestId TEXT,
    dueAtMs INTEGER NOT NULL, state TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX retriesDue ON retries (dueAtMs) WHERE state IN ('WAITING', 'STARTING');
  CREATE INDEX retriesByExecution ON retries (executionId);
  CREATE INDEX retriesByRequestId ON retries (uniqueRequestId, instanceId, flowStableKey)
    WHERE state = 'WAITING' AND uniqueRequestId IS NOT NULL;
  `,
  // What flows keep between runs, and who has any.
  `
  CREATE TABLE flowStates (
    ownerId TEXT NOT NULL, scope TEXT NOT NULL, stableKey TEXT NOT NULL, stamp INTEGER NOT NULL,
    executionId TEXT NOT NULL, value TEXT, UNIQUE (ownerId, scope, stableKey)
  );
  CREATE TABLE stateOwners (position INTEGER PRIMARY KEY AUTOINCREMENT, ownerId TEXT NOT NULL UNIQUE);
  `,
  // What kind of success it is.
  `
  ALTER TABLE executions ADD COLUMN resultType TEXT;
  `,
  // The states themselves are numbered in the order in which they came to be: who has any follows from that.
  `
  ALTER TABLE flowStates RENAME TO oldStates;
  CREATE TABLE flowStates (
    position INTEGER PRIMARY KEY AUTOINCREMENT, ownerId TEXT NOT NULL, scope TEXT NOT NULL, stableKey TEXT NOT NULL,
    stamp INTEGER NOT NULL, executionId TEXT NOT NULL, value TEXT, UNIQUE (ownerId, scope, stableKey)
  );
  INSERT INTO flowStates (ownerId, scope, stableKey, stamp, executionId, value)
    SELECT ownerId, scope, stableKey, stamp, executionId, value FROM oldStates;
  DROP TABLE oldStates;
  DROP TABLE stateOwners;
  `,
  // Bulk replays; and indexes for lists of what failed, and by when executions ended.
  `
  CREATE TABLE bulkReplays (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, filterJson TEXT NOT NULL, perSecond INTEGER NOT NULL, total INTEGER NOT NULL,
    replayed INTEGER NOT NULL, skipped INTEGER NOT NULL, cursorAtMs INTEGER NOT NULL, cursorId TEXT NOT NULL,
    pendingJson TEXT, createdBy TEXT NOT NULL, createdAtMs INTEGER NOT NULL, finishedAtMs INTEGER
  ) WITHOUT ROWID;
  CREATE INDEX bulkReplaysOpen ON bulkReplays (state);
  CREATE TABLE bulkReplayItems (executionId TEXT PRIMARY KEY, bulkReplayId TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX bulkReplayItemsOf ON bulkReplayItems (bulkReplayId);
  CREATE INDEX executionsFailed ON executions (startedAtMs) WHERE status = 'FAILED';
  `,
  // In which loops a step ran; whom an execution's flow invoked.
  `
  DROP VIEW executionSteps;
  CREATE VIEW executionSteps AS
    SELECT executionId, attempt, step.value ->> 1 AS sequence, step.value ->> 0 AS part, step.value ->> 2 AS stepName,
      step.value ->> 3 AS stepStableKey, step.value ->> 4 AS startedAtMs, step.value ->> 5 AS endedAtMs,
      step.value ->> 6 AS error, step.value ->> 7 AS isTruncated,
      substr(stepResults, (step.value ->> 9) + 1, step.value ->> 8) AS results, step.value ->> 10 AS loopPath
    FROM executionEvents, json_each(stepsJson) AS step;
  CREATE INDEX executionsByInvoker ON executions (invokedBy) WHERE invokedBy IS NOT NULL;
  `,
  // What runs came to, by day and instance; and lists of executions by their end.
  `
  CREATE TABLE usageDays (
    day TEXT NOT NULL, instanceId TEXT NOT NULL, customerId TEXT NOT NULL, succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL, steps INTEGER NOT NULL, runMs INTEGER NOT NULL, PRIMARY KEY (day, instanceId)
  ) WITHOUT ROWID;
  CREATE INDEX usageOfInstance ON usageDays (instanceId, day);
  CREATE TABLE usageCounted (upTo INTEGER NOT NULL);
  INSERT INTO usageCounted SELECT coalesce(max(rowid), 0) FROM executionEvents;
  CREATE INDEX executionsByEnd ON executions (endedAtMs) WHERE endedAtMs IS NOT NULL;
  `,
];
