-- config.db as Switchyard 0.1.0 of schema 2 left it: test/fixtures/low-code, deployed to two customers.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('epoch','d419672a-a10b-4816-b5d9-0e5f98ddaffc');
INSERT INTO meta VALUES('feedVersion','16.0');
INSERT INTO meta VALUES('masterKeyCheck','v2.5e120837bd4286ed.xMGuwtbujO66aWoYWP6VK05Nqj5LYXpxg6tM_MPV');
INSERT INTO meta VALUES('organizationId','01a203da-56be-760f-b19c-16d39b2315a5');
INSERT INTO meta VALUES('organizationName','Switchyard');
INSERT INTO meta VALUES('wrappedPepper','v2.5e120837bd4286ed.Lpcsf1U2PxaNEj0dtz11PbIvDOKKkfr9h2-EIDCT2W_6BEs6KnWiq_wmzGDX7UBHUH-GWeo-H04TtFEs');
CREATE TABLE tokens (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, userId TEXT REFERENCES users(id) ON DELETE CASCADE, name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE, createdAtMs INTEGER NOT NULL, expiresAtMs INTEGER, revokedAtMs INTEGER
  , lastUsedAtMs INTEGER);
INSERT INTO tokens VALUES('01a203da-56c6-736d-b6c5-45135ec05552','DATA_PLANE',NULL,'Data planes of this machine','qjstBEZ-nbxFxJAelRWJsLX3BHUBNaTKYmFd7DD0IEE',1795360970438,NULL,NULL,1795360973032);
CREATE TABLE customers (
    id TEXT PRIMARY KEY, externalId TEXT UNIQUE, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
    labelsJson TEXT NOT NULL DEFAULT '[]', isSystem INTEGER NOT NULL DEFAULT 0,
    createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL
  );
INSERT INTO customers VALUES('01a203da-56c0-7392-b6ff-7e6e5d8de427','testCustomerExternalId','Test customer','Tests of drafts run for this customer.','[]',1,1795360970432,1795360970432);
INSERT INTO customers VALUES('01a203da-5e0d-7b50-99ee-16d54c0b4ba2','one','Customer one','','[]',0,1795360972301,1795360972301);
INSERT INTO customers VALUES('01a203da-5fcc-7be0-9c69-139311dc0a49','two','Customer two','','[]',0,1795360972748,1795360972748);
CREATE TABLE users (
    id TEXT PRIMARY KEY, customerId TEXT REFERENCES customers(id) ON DELETE CASCADE, email TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '', externalId TEXT, phone TEXT NOT NULL DEFAULT '', role TEXT NOT NULL,
    createdAtMs INTEGER NOT NULL
  );
CREATE TABLE integrations (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', category TEXT NOT NULL DEFAULT '',
    labelsJson TEXT NOT NULL DEFAULT '[]', avatarUrl TEXT, customerId TEXT REFERENCES customers(id),
    token TEXT NOT NULL UNIQUE, isCodeNative INTEGER NOT NULL DEFAULT 0, draftYaml TEXT, draftDigest TEXT,
    createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL
  , allowedAddressesJson TEXT NOT NULL DEFAULT '[]');
INSERT INTO integrations VALUES('01a203da-5d20-77ff-a6a9-650780bc5046','Fixture Low Code','Steps of built-in components only','','[]',NULL,NULL,'j-KbJeyhBOAEqqtGewd_XvdmZHQ',0,replace('definitionVersion: 7\nname: Fixture Low Code\ndescription: Steps of built-in components only\nendpointType: instance_specific\npreprocessFlowName: Sort\nflowNameField: results.flowName\nrequiredConfigVars:\n  - key: Greeting\n    dataType: string\n    defaultValue: Good day\nflows:\n  - name: Sort\n    stableKey: sort\n    steps:\n      - name: Trigger\n        isTrigger: true\n        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }\n      - name: Name The Flow\n        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }\n        inputs:\n          code:\n            type: value\n            value: |\n              module.exports = async ({ logger }, stepResults) => {\n                const { kind } = stepResults.trigger.results.body.data;\n                logger.info(`kind ${kind}`);\n                return { data: { flowName: kind === "greeting" ? "Greet" : "Count" } };\n              };\n  - name: Greet\n    stableKey: greet\n    isSynchronous: true\n    steps:\n      - name: Trigger\n        isTrigger: true\n        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }\n      - name: Say It\n        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }\n        inputs:\n          code:\n            type: value\n            value: |\n              module.exports = async ({ configVars }, stepResults) => ({\n                data: `${configVars.Greeting}, ${stepResults.trigger.results.body.data.who}`,\n              });\n  - name: Count\n    stableKey: count\n    steps:\n      - name: Trigger\n        isTrigger: true\n        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }\n      - name: Count Them\n        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }\n        inputs:\n          code:\n            type: value\n            value: |\n              module.exports = async (context, stepResults) => ({\n                data: stepResults.trigger.results.body.data.items.length,\n              });\n','\n',char(10)),'cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e',1795360972064,1795360972094,'[]');
CREATE TABLE versions (
    id TEXT PRIMARY KEY, integrationId TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE, number INTEGER NOT NULL,
    definitionDigest TEXT NOT NULL, yaml TEXT NOT NULL, comment TEXT NOT NULL DEFAULT '', attributesJson TEXT,
    isAvailable INTEGER NOT NULL DEFAULT 1, createdAtMs INTEGER NOT NULL, createdByUserId TEXT,
    UNIQUE (integrationId, number)
  );
INSERT INTO versions VALUES('01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','01a203da-5d20-77ff-a6a9-650780bc5046',1,'cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e',replace('definitionVersion: 7\nname: Fixture Low Code\ndescription: Steps of built-in components only\nendpointType: instance_specific\npreprocessFlowName: Sort\nflowNameField: results.flowName\nrequiredConfigVars:\n  - key: Greeting\n    dataType: string\n    defaultValue: Good day\nflows:\n  - name: Sort\n    stableKey: sort\n    steps:\n      - name: Trigger\n        isTrigger: true\n        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }\n      - name: Name The Flow\n        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }\n        inputs:\n          code:\n            type: value\n            value: |\n              module.exports = async ({ logger }, stepResults) => {\n                const { kind } = stepResults.trigger.results.body.data;\n                logger.info(`kind ${kind}`);\n                return { data: { flowName: kind === "greeting" ? "Greet" : "Count" } };\n              };\n  - name: Greet\n    stableKey: greet\n    isSynchronous: true\n    steps:\n      - name: Trigger\n        isTrigger: true\n        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }\n      - name: Say It\n        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }\n        inputs:\n          code:\n            type: value\n            value: |\n              module.exports = async ({ configVars }, stepResults) => ({\n                data: `${configVars.Greeting}, ${stepResults.trigger.results.body.data.who}`,\n              });\n  - name: Count\n    stableKey: count\n    steps:\n      - name: Trigger\n        isTrigger: true\n        action: { key: webhook, component: { key: webhook-triggers, isPublic: true, version: LATEST } }\n      - name: Count Them\n        action: { key: runCode, component: { key: code, isPublic: true, version: LATEST } }\n        inputs:\n          code:\n            type: value\n            value: |\n              module.exports = async (context, stepResults) => ({\n                data: stepResults.trigger.results.body.data.items.length,\n              });\n','\n',char(10)),'Version of low-code',NULL,1,1795360972236,NULL);
CREATE TABLE definitions (digest TEXT PRIMARY KEY, definitionJson TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO definitions VALUES('cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e','{"bundles":{},"category":"","description":"Steps of built-in components only","documentation":"","endpointType":"instance_specific","externalCustomerIdReference":null,"externalCustomerUserIdReference":null,"externalVersion":"","flowNameReference":"results.flowName","flows":[{"acceptedContentTypes":null,"description":"","hasTriggerCode":false,"isSynchronous":false,"name":"Sort","securityType":null,"stableKey":"sort","steps":[{"action":{"componentKey":"webhook-triggers","isPublic":true,"key":"webhook"},"inputs":{},"isTrigger":true,"name":"Trigger","stableKey":"sort-0"},{"action":{"componentKey":"code","isPublic":true,"key":"runCode"},"inputs":{"code":{"type":"value","value":"module.exports = async ({ logger }, stepResults) => {\n  const { kind } = stepResults.trigger.results.body.data;\n  logger.info(`kind ${kind}`);\n  return { data: { flowName: kind === \"greeting\" ? \"Greet\" : \"Count\" } };\n};\n"}},"isTrigger":false,"name":"Name The Flow","stableKey":"sort-1"}]},{"acceptedContentTypes":null,"description":"","hasTriggerCode":false,"isSynchronous":true,"name":"Greet","securityType":null,"stableKey":"greet","steps":[{"action":{"componentKey":"webhook-triggers","isPublic":true,"key":"webhook"},"inputs":{},"isTrigger":true,"name":"Trigger","stableKey":"greet-0"},{"action":{"componentKey":"code","isPublic":true,"key":"runCode"},"inputs":{"code":{"type":"value","value":"module.exports = async ({ configVars }, stepResults) => ({\n  data: `${configVars.Greeting}, ${stepResults.trigger.results.body.data.who}`,\n});\n"}},"isTrigger":false,"name":"Say It","stableKey":"greet-1"}]},{"acceptedContentTypes":null,"description":"","hasTriggerCode":false,"isSynchronous":false,"name":"Count","securityType":null,"stableKey":"count","steps":[{"action":{"componentKey":"webhook-triggers","isPublic":true,"key":"webhook"},"inputs":{},"isTrigger":true,"name":"Trigger","stableKey":"count-0"},{"action":{"componentKey":"code","isPublic":true,"key":"runCode"},"inputs":{"code":{"type":"value","value":"module.exports = async (context, stepResults) => ({\n  data: stepResults.trigger.results.body.data.items.length,\n});\n"}},"isTrigger":false,"name":"Count Them","stableKey":"count-1"}]}],"isCodeNative":false,"labels":[],"name":"Fixture Low Code","preprocessFlow":"sort","requiredConfigVars":[{"collectionType":null,"connectionKey":null,"dataType":"string","defaultValue":"Good day","description":"","inputs":{},"key":"Greeting","orgOnly":false,"pickList":null,"stableKey":"Greeting"}]}');
CREATE TABLE flows (
    id TEXT PRIMARY KEY, ownerId TEXT NOT NULL, integrationId TEXT NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
    stableKey TEXT NOT NULL, position INTEGER NOT NULL, UNIQUE (ownerId, stableKey)
  );
INSERT INTO flows VALUES('01a203da-5d3f-77df-aee2-f41ce83c7b9b','01a203da-5d20-77ff-a6a9-650780bc5046','01a203da-5d20-77ff-a6a9-650780bc5046','sort',0);
INSERT INTO flows VALUES('01a203da-5d44-75b8-a223-e8309b82fe5d','01a203da-5d20-77ff-a6a9-650780bc5046','01a203da-5d20-77ff-a6a9-650780bc5046','greet',1);
INSERT INTO flows VALUES('01a203da-5d44-75b8-a223-e831f1237560','01a203da-5d20-77ff-a6a9-650780bc5046','01a203da-5d20-77ff-a6a9-650780bc5046','count',2);
INSERT INTO flows VALUES('01a203da-5dcd-7797-ab8e-af51d40c716b','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','01a203da-5d20-77ff-a6a9-650780bc5046','sort',0);
INSERT INTO flows VALUES('01a203da-5dcd-7797-ab8e-af521004179c','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','01a203da-5d20-77ff-a6a9-650780bc5046','greet',1);
INSERT INTO flows VALUES('01a203da-5dcd-7797-ab8e-af5313e964ca','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','01a203da-5d20-77ff-a6a9-650780bc5046','count',2);
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
  , allowedAddressesJson TEXT NOT NULL DEFAULT '[]');
INSERT INTO instances VALUES('01a203da-5d21-7bf4-93ab-8728f944bb2c','01a203da-5d20-77ff-a6a9-650780bc5046','01a203da-56c0-7392-b6ff-7e6e5d8de427',NULL,NULL,'v2.5e120837bd4286ed.LYSXYbBLmxJ0Vy13IhkzgwIUpLyYbstEk_TdQROP5LthWQ6CD7XrNEMto9QIOK0t9HVR',NULL,'Fixture Low Code (tests)','Tests of the draft run here.','[]',1,1,0,0,'4yD8Qwh9gHbteO5yhpLJryF5ASU',1795360972064,1795360972064,'[]');
INSERT INTO instances VALUES('01a203da-5e3f-7ae4-9565-adb03a627af0','01a203da-5d20-77ff-a6a9-650780bc5046','01a203da-5e0d-7b50-99ee-16d54c0b4ba2','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','v2.5e120837bd4286ed.rHM4z2fbbSd9W1T1ksr2ELugrniJ3kxCPvzpqPTXZnEXh71JO6W-pqMKgVQqjuZV61pi',1795360972378,'Instance of one','','[]',0,1,0,0,'gZjCeeC_UWXgpaQt5OtAFs8KrGI',1795360972351,1795360972378,'[]');
INSERT INTO instances VALUES('01a203da-5fe2-7b90-bb7a-a9b167a510b2','01a203da-5d20-77ff-a6a9-650780bc5046','01a203da-5fcc-7be0-9c69-139311dc0a49','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','01a203da-5dcc-7bf2-bdf0-3fbc96d2c099','v2.5e120837bd4286ed.pIijsk_2b_Ye25jtDZTpCcQyBe-ApNzCiIkFtV8E_ZfhThfAU7A9y313hB6NqwPbQ46S',1795360972800,'Instance of two','','[]',0,1,0,0,'jZqTIs-k8eX15suRnQk26bgRgng',1795360972770,1795360972800,'[]');
CREATE TABLE instanceConfigVariables (
    id TEXT PRIMARY KEY, instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE, key TEXT NOT NULL,
    sealedValue TEXT, updatedAtMs INTEGER NOT NULL, UNIQUE (instanceId, key)
  );
CREATE TABLE instanceFlowConfigs (
    id TEXT PRIMARY KEY, instanceId TEXT NOT NULL REFERENCES instances(id) ON DELETE CASCADE, stableKey TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE, allowedAddressesJson TEXT NOT NULL DEFAULT '[]', UNIQUE (instanceId, stableKey)
  );
INSERT INTO instanceFlowConfigs VALUES('01a203da-5d45-7a12-8403-6bc3ba989dd6','01a203da-5d21-7bf4-93ab-8728f944bb2c','sort','Hvp3mJNb90rW1mHHsPkfbXBp1Qs','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5d45-7a12-8403-6bc4d26c2f31','01a203da-5d21-7bf4-93ab-8728f944bb2c','greet','w8OqUjcHakIb5l4oDA5wuiRniIg','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5d45-7a12-8403-6bc5a5555d83','01a203da-5d21-7bf4-93ab-8728f944bb2c','count','TqPDmknfb_z8hnNDRyRtOFZlVQs','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5e40-71a4-a30d-7d571abba75b','01a203da-5e3f-7ae4-9565-adb03a627af0','sort','345HVEjEv7vs0mklaWM0eQmbfl0','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5e40-71a4-a30d-7d588bfbc59a','01a203da-5e3f-7ae4-9565-adb03a627af0','greet','UeIlIUQzZWtifa16clhI20o8wos','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5e40-71a4-a30d-7d59438d48b5','01a203da-5e3f-7ae4-9565-adb03a627af0','count','mFMLcoaBybsK5EsltoFa5z1DCGE','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5fe2-7b90-bb7a-a9b203c3e3a8','01a203da-5fe2-7b90-bb7a-a9b167a510b2','sort','FfG-cXJ0I6NI4DTrteOnBHP_sxA','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5fe2-7b90-bb7a-a9b3ce1e68d9','01a203da-5fe2-7b90-bb7a-a9b167a510b2','greet','4by-okTGj0uxxFBjYZFt4DmI77k','[]');
INSERT INTO instanceFlowConfigs VALUES('01a203da-5fe3-76d8-b7d4-5cfd2741bef6','01a203da-5fe2-7b90-bb7a-a9b167a510b2','count','9z1afu0h89bzBZHa0IjpxaUocVE','[]');
CREATE TABLE apiKeys (
    id TEXT PRIMARY KEY, ownerType TEXT NOT NULL, ownerId TEXT NOT NULL, stableKey TEXT NOT NULL, name TEXT NOT NULL,
    hmac TEXT NOT NULL, sealed TEXT NOT NULL, prefix TEXT NOT NULL, last4 TEXT NOT NULL, createdAtMs INTEGER NOT NULL,
    createdBy TEXT NOT NULL, lastUsedAtMs INTEGER, expiresAtMs INTEGER, revokedAtMs INTEGER, rotatedFromId TEXT,
    UNIQUE (ownerType, ownerId, stableKey, hmac)
  );
CREATE TABLE feedEntities (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, id)
  ) WITHOUT ROWID;
INSERT INTO feedEntities VALUES('instance','01a203da-5d21-7bf4-93ab-8728f944bb2c',5);
INSERT INTO feedEntities VALUES('instance','01a203da-5e3f-7ae4-9565-adb03a627af0',9);
INSERT INTO feedEntities VALUES('instance','01a203da-5fe2-7b90-bb7a-a9b167a510b2',14);
INSERT INTO feedEntities VALUES('integration','01a203da-5d20-77ff-a6a9-650780bc5046',15);
INSERT INTO feedEntities VALUES('definition','cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e',16);
CREATE TABLE dataPlanes (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, servedEpoch TEXT NOT NULL DEFAULT '', servedVersion INTEGER NOT NULL DEFAULT 0,
    lastSeenAtMs INTEGER NOT NULL
  );
INSERT INTO dataPlanes VALUES('01a203da-5afa-7958-a17b-cbb4cf06fdc1','data-plane-1','d419672a-a10b-4816-b5d9-0e5f98ddaffc',16,1795360972854);
CREATE TABLE commands (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, payloadJson TEXT NOT NULL, state TEXT NOT NULL, leasedBy TEXT,
    leasedUntilMs INTEGER, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, createdAtMs INTEGER NOT NULL, finishedAtMs INTEGER
  );
INSERT INTO commands VALUES('01a203da-5e65-73f5-804c-b4967db95c92','PREPARE_DEPLOY','{"instanceId":"01a203da-5e3f-7ae4-9565-adb03a627af0","definitionDigest":"cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e"}','DONE','01a203da-5afa-7958-a17b-cbb4cf06fdc1',1795361032421,1,NULL,1795360972389,1795360972456);
INSERT INTO commands VALUES('01a203da-6002-7db1-ac2e-5d152678cdf4','PREPARE_DEPLOY','{"instanceId":"01a203da-5fe2-7b90-bb7a-a9b167a510b2","definitionDigest":"cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e"}','DONE','01a203da-5afa-7958-a17b-cbb4cf06fdc1',1795361032816,1,NULL,1795360972802,1795360972844);
CREATE TABLE signingKeys (
    id TEXT PRIMARY KEY, publicKey TEXT NOT NULL UNIQUE, privateKeyPreview TEXT NOT NULL, isImported INTEGER NOT NULL,
    createdAtMs INTEGER NOT NULL, createdBy TEXT NOT NULL
  );
CREATE TABLE auditLog (
    id TEXT PRIMARY KEY, atMs INTEGER NOT NULL, actor TEXT NOT NULL, actorRole TEXT NOT NULL, tokenId TEXT,
    remoteAddress TEXT NOT NULL, requestId TEXT NOT NULL, action TEXT NOT NULL, objectId TEXT, customerId TEXT,
    outcome TEXT NOT NULL, detailJson TEXT NOT NULL
  ) WITHOUT ROWID;
INSERT INTO auditLog VALUES('01a203da-5d4e-7108-bf79-b8fd4138bc7b',1795360972110,'admin','ADMIN',NULL,'127.0.0.1','3965e026-0640-4400-8394-84cff084882a','importIntegration','SW50ZWdyYXRpb246MDFhMjAzZGEtNWQyMC03N2ZmLWE2YTktNjUwNzgwYmM1MDQ2',NULL,'SUCCEEDED','{"input":{"definition":{"sha256":"cbc88b9a85623da5a6812e338078d0e39856c63832568862724e10e4142f5886","bytes":2103}},"before":null,"after":{"name":"Fixture Low Code","description":"Steps of built-in components only","category":"","labels":[],"customerId":null,"draftDigest":"cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e","allowedAddresses":[],"apiKeys":[]},"created":["SW50ZWdyYXRpb246MDFhMjAzZGEtNWQyMC03N2ZmLWE2YTktNjUwNzgwYmM1MDQ2","SW5zdGFuY2U6MDFhMjAzZGEtNWQyMS03YmY0LTkzYWItODcyOGY5NDRiYjJj"]}');
INSERT INTO auditLog VALUES('01a203da-5dcf-7c41-a961-999365c85dd9',1795360972239,'admin','ADMIN',NULL,'127.0.0.1','dd03e235-8587-45ba-9f1d-2117d5fb3162','publishIntegration','SW50ZWdyYXRpb246MDFhMjAzZGEtNWQyMC03N2ZmLWE2YTktNjUwNzgwYmM1MDQ2',NULL,'SUCCEEDED','{"input":{"comment":"Version of low-code","id":"SW50ZWdyYXRpb246MDFhMjAzZGEtNWQyMC03N2ZmLWE2YTktNjUwNzgwYmM1MDQ2"},"before":{"name":"Fixture Low Code","description":"Steps of built-in components only","category":"","labels":[],"customerId":null,"draftDigest":"cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e","allowedAddresses":[],"apiKeys":[]},"after":{"name":"Fixture Low Code","description":"Steps of built-in components only","category":"","labels":[],"customerId":null,"draftDigest":"cbdd232170dcbb0589a1e6980bfec7379b9132536b26999cc83d4c4a5f62d69e","allowedAddresses":[],"apiKeys":[]},"created":["SW50ZWdyYXRpb246MDFhMjAzZGEtNWRjYy03YmYyLWJkZjAtM2ZiYzk2ZDJjMDk5"]}');
INSERT INTO auditLog VALUES('01a203da-5e0e-7c7b-868e-5dcf54259323',1795360972302,'admin','ADMIN',NULL,'127.0.0.1','0fa442c2-8e29-4dd1-8557-be9d47ea83b7','createCustomer','Q3VzdG9tZXI6MDFhMjAzZGEtNWUwZC03YjUwLTk5ZWUtMTZkNTRjMGI0YmEy','01a203da-5e0d-7b50-99ee-16d54c0b4ba2','SUCCEEDED','{"input":{"externalId":"one","name":"Customer one"},"before":null,"after":{"externalId":"one","name":"Customer one","description":"","labels":[]},"created":["Q3VzdG9tZXI6MDFhMjAzZGEtNWUwZC03YjUwLTk5ZWUtMTZkNTRjMGI0YmEy"]}');
INSERT INTO auditLog VALUES('01a203da-5e41-7b21-a29e-c6b765ccf152',1795360972353,'admin','ADMIN',NULL,'127.0.0.1','6da0bf03-fcb3-473e-bec9-ac7ace765cdc','createInstance','SW5zdGFuY2U6MDFhMjAzZGEtNWUzZi03YWU0LTk1NjUtYWRiMDNhNjI3YWYw','01a203da-5e0d-7b50-99ee-16d54c0b4ba2','SUCCEEDED','{"input":{"customer":"Q3VzdG9tZXI6MDFhMjAzZGEtNWUwZC03YjUwLTk5ZWUtMTZkNTRjMGI0YmEy","integration":"SW50ZWdyYXRpb246MDFhMjAzZGEtNWRjYy03YmYyLWJkZjAtM2ZiYzk2ZDJjMDk5","name":"Instance of one"},"before":null,"after":{"integrationId":"01a203da-5d20-77ff-a6a9-650780bc5046","customerId":"01a203da-5e0d-7b50-99ee-16d54c0b4ba2","versionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedVersionId":null,"deployedAt":null,"name":"Instance of one","description":"","labels":[],"enabled":true,"globalDebug":false,"needsDeploy":true,"allowedAddresses":[],"apiKeys":[],"configVariables":[]},"created":["SW5zdGFuY2U6MDFhMjAzZGEtNWUzZi03YWU0LTk1NjUtYWRiMDNhNjI3YWYw"]}');
INSERT INTO auditLog VALUES('01a203da-5e66-7015-8008-f9ee63aa1572',1795360972390,'admin','ADMIN',NULL,'127.0.0.1','7786018c-678e-4d50-86b8-d5f630d4ed5d','deployInstance','SW5zdGFuY2U6MDFhMjAzZGEtNWUzZi03YWU0LTk1NjUtYWRiMDNhNjI3YWYw','01a203da-5e0d-7b50-99ee-16d54c0b4ba2','SUCCEEDED','{"input":{"id":"SW5zdGFuY2U6MDFhMjAzZGEtNWUzZi03YWU0LTk1NjUtYWRiMDNhNjI3YWYw"},"before":{"integrationId":"01a203da-5d20-77ff-a6a9-650780bc5046","customerId":"01a203da-5e0d-7b50-99ee-16d54c0b4ba2","versionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedVersionId":null,"deployedAt":null,"name":"Instance of one","description":"","labels":[],"enabled":true,"globalDebug":false,"needsDeploy":true,"allowedAddresses":[],"apiKeys":[],"configVariables":[]},"after":{"integrationId":"01a203da-5d20-77ff-a6a9-650780bc5046","customerId":"01a203da-5e0d-7b50-99ee-16d54c0b4ba2","versionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedVersionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedAt":"2026-11-22T15:22:52.378Z","name":"Instance of one","description":"","labels":[],"enabled":true,"globalDebug":false,"needsDeploy":false,"allowedAddresses":[],"apiKeys":[],"configVariables":[]}}');
INSERT INTO auditLog VALUES('01a203da-5fcd-76b3-8436-1c70902f0404',1795360972749,'admin','ADMIN',NULL,'127.0.0.1','f6bf954a-8ef0-4280-8d9f-c1805d686044','createCustomer','Q3VzdG9tZXI6MDFhMjAzZGEtNWZjYy03YmUwLTljNjktMTM5MzExZGMwYTQ5','01a203da-5fcc-7be0-9c69-139311dc0a49','SUCCEEDED','{"input":{"externalId":"two","name":"Customer two"},"before":null,"after":{"externalId":"two","name":"Customer two","description":"","labels":[]},"created":["Q3VzdG9tZXI6MDFhMjAzZGEtNWZjYy03YmUwLTljNjktMTM5MzExZGMwYTQ5"]}');
INSERT INTO auditLog VALUES('01a203da-5fe8-7612-9cfb-81f4fbfce529',1795360972776,'admin','ADMIN',NULL,'127.0.0.1','80cb2344-868a-459d-a3a4-c3f759955348','createInstance','SW5zdGFuY2U6MDFhMjAzZGEtNWZlMi03YjkwLWJiN2EtYTliMTY3YTUxMGIy','01a203da-5fcc-7be0-9c69-139311dc0a49','SUCCEEDED','{"input":{"customer":"Q3VzdG9tZXI6MDFhMjAzZGEtNWZjYy03YmUwLTljNjktMTM5MzExZGMwYTQ5","integration":"SW50ZWdyYXRpb246MDFhMjAzZGEtNWRjYy03YmYyLWJkZjAtM2ZiYzk2ZDJjMDk5","name":"Instance of two"},"before":null,"after":{"integrationId":"01a203da-5d20-77ff-a6a9-650780bc5046","customerId":"01a203da-5fcc-7be0-9c69-139311dc0a49","versionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedVersionId":null,"deployedAt":null,"name":"Instance of two","description":"","labels":[],"enabled":true,"globalDebug":false,"needsDeploy":true,"allowedAddresses":[],"apiKeys":[],"configVariables":[]},"created":["SW5zdGFuY2U6MDFhMjAzZGEtNWZlMi03YjkwLWJiN2EtYTliMTY3YTUxMGIy"]}');
INSERT INTO auditLog VALUES('01a203da-6003-71bd-9541-9f3f602daa0b',1795360972803,'admin','ADMIN',NULL,'127.0.0.1','e7c1def7-d538-42bb-bb08-594fb4b37d05','deployInstance','SW5zdGFuY2U6MDFhMjAzZGEtNWZlMi03YjkwLWJiN2EtYTliMTY3YTUxMGIy','01a203da-5fcc-7be0-9c69-139311dc0a49','SUCCEEDED','{"input":{"id":"SW5zdGFuY2U6MDFhMjAzZGEtNWZlMi03YjkwLWJiN2EtYTliMTY3YTUxMGIy"},"before":{"integrationId":"01a203da-5d20-77ff-a6a9-650780bc5046","customerId":"01a203da-5fcc-7be0-9c69-139311dc0a49","versionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedVersionId":null,"deployedAt":null,"name":"Instance of two","description":"","labels":[],"enabled":true,"globalDebug":false,"needsDeploy":true,"allowedAddresses":[],"apiKeys":[],"configVariables":[]},"after":{"integrationId":"01a203da-5d20-77ff-a6a9-650780bc5046","customerId":"01a203da-5fcc-7be0-9c69-139311dc0a49","versionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedVersionId":"01a203da-5dcc-7bf2-bdf0-3fbc96d2c099","deployedAt":"2026-11-22T15:22:52.800Z","name":"Instance of two","description":"","labels":[],"enabled":true,"globalDebug":false,"needsDeploy":false,"allowedAddresses":[],"apiKeys":[],"configVariables":[]}}');
CREATE UNIQUE INDEX usersByEmail ON users (email);
CREATE UNIQUE INDEX usersByExternalId ON users (customerId, externalId);
CREATE INDEX integrationsByName ON integrations (name);
CREATE INDEX instancesByIntegration ON instances (integrationId, isSystem);
CREATE INDEX instancesByCustomer ON instances (customerId);
CREATE UNIQUE INDEX feedEntitiesByVersion ON feedEntities (version);
CREATE INDEX commandsByState ON commands (state, createdAtMs);
CREATE INDEX auditLogByTime ON auditLog (atMs);
CREATE INDEX auditLogByObject ON auditLog (objectId, atMs);
CREATE INDEX auditLogByActor ON auditLog (actor, atMs);
CREATE TRIGGER auditLogIsAppendOnly BEFORE UPDATE ON auditLog BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
COMMIT;
PRAGMA user_version = 2;
