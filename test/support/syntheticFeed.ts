/** Endpoints as a control plane with very many instances would feed them: made from a number, no two alike. */
import type { Definition, Flow } from "../../shared/definition.ts";
import type { FeedChange, InstanceEntity, IntegrationEntity } from "../../shared/feed.ts";

const instancesOfIntegration = 1_000;
const fingerprint = "0123456789abcdef";

/** 32 bits that look random, the same for the same numbers. */
function mixed(number: number, salt: number): number {
  let bits = Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(salt + 1, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

const hex = (number: number, salt: number): string => mixed(number, salt).toString(16).padStart(8, "0");

const idOf = (number: number, salt: number): string => {
  const [a, b, c] = [hex(number, salt), hex(number, salt + 1), hex(number, salt + 2)];
  const time = number.toString(16).padStart(8, "0");
  return `019a${time.slice(0, 4)}-${time.slice(4)}-7${a.slice(1, 4)}-8${a.slice(5)}-${b}${c.slice(4)}`;
};

const scratch = Buffer.alloc(512);

/** A flat text, as if it had come over the network: V8 would keep a slice of a chain of texts. */
const secretOf = (number: number, salt: number, characters: number): string => {
  let written = 0;
  for (let at = 0; written < characters; at++)
    written += scratch.write(mixed(number, salt + at).toString(36), written, "latin1");
  return scratch.toString("latin1", 0, characters);
};

export const instanceIdOf = (number: number): string => idOf(number, 100);
export const instanceTokenOf = (number: number): string => secretOf(number, 200, 32);
export const integrationIdOf = (number: number): string =>
  idOf(Math.floor(number / instancesOfIntegration), 300);
export const externalIdOf = (number: number): string => `customer-${number}`;
export const digestOf = (integration: number): string =>
  Array.from({ length: 8 }, (_, at) => hex(integration, 400 + at)).join("");

const stableKeys = (integration: number): [string, string] => [
  idOf(integration, 500),
  idOf(integration, 510),
];
export const flowNames = ["Create order", "Update inventory"] as const;

/** An instance with two flows, a customer's key on the first, and sealed config variables. */
export function instanceEntityOf(number: number): InstanceEntity {
  const integration = Math.floor(number / instancesOfIntegration);
  const [first, second] = stableKeys(integration);
  const flow = (salt: number, flowId: string, keys: InstanceEntity["flows"][string]["keys"]) => ({
    flowId,
    flowConfigId: idOf(number, salt),
    token: secretOf(number, salt + 10, 32),
    keys,
    allowedAddresses: [],
  });
  const sealed = (salt: number, characters: number) =>
    `v2.${fingerprint}.${secretOf(number, salt, characters)}`;
  return {
    id: instanceIdOf(number),
    name: `Acme ERP for customer ${number}`,
    integrationId: integrationIdOf(number),
    integrationName: `Acme ERP ${integration}`,
    isSystem: false,
    isEnabled: true,
    globalDebug: false,
    versionId: idOf(integration, 600),
    versionNumber: 3,
    definitionDigest: digestOf(integration),
    customer: {
      id: idOf(number, 700),
      externalId: externalIdOf(number),
      name: `Customer ${number}`,
      users: [],
    },
    token: instanceTokenOf(number),
    allowedAddresses: [],
    flows: {
      [first]: flow(800, idOf(integration, 520), [
        {
          id: idOf(number, 900),
          hmac: secretOf(number, 910, 43),
          sealed: sealed(920, 96),
          expiresAtMs: 1_900_000_000_000,
          revokedAtMs: null,
        },
      ]),
      [second]: flow(830, idOf(integration, 530), []),
    },
    sealedConfigVars: sealed(950, 240),
  };
}

export function integrationEntityOf(integration: number): IntegrationEntity {
  const number = integration * instancesOfIntegration;
  return {
    id: integrationIdOf(number),
    name: `Acme ERP ${integration}`,
    token: secretOf(integration, 1000, 32),
    shared: null,
    systemInstanceId: idOf(integration, 1010),
    organizationKeys: {},
    allowedAddresses: [],
  };
}

export function definitionOf(integration: number): Definition {
  const [first, second] = stableKeys(integration);
  const flow = (stableKey: string, name: string): Flow => ({
    name,
    stableKey,
    description: "",
    isSynchronous: false,
    securityType: "customer_optional",
    acceptedContentTypes: null,
    hasTriggerCode: false,
    steps: [],
  });
  return {
    name: `Acme ERP ${integration}`,
    description: "",
    category: "ERP",
    labels: [],
    externalVersion: "",
    documentation: "",
    isCodeNative: true,
    endpointType: "instance_specific",
    preprocessFlow: null,
    flowNameReference: "body.data.action",
    externalCustomerIdReference: null,
    externalCustomerUserIdReference: null,
    flows: [flow(first, flowNames[0]), flow(second, flowNames[1])],
    requiredConfigVars: [],
    bundles: {},
  };
}

/** A snapshot with that many instances, in the control plane's pages. */
export function* snapshotPages(instances: number, pageChanges = 1_000): Generator<FeedChange[]> {
  let version = 0;
  let page: FeedChange[] = [
    {
      version: 0,
      kind: "settings",
      id: "settings",
      data: { organization: { id: idOf(0, 1), name: "Acme" }, wrappedPepper: `v2.${fingerprint}.pepper` },
    },
  ];
  for (let number = 0; number < instances; number++) {
    if (number % instancesOfIntegration === 0) {
      const integration = number / instancesOfIntegration;
      const entity = integrationEntityOf(integration);
      page.push({ version: ++version, kind: "integration", id: entity.id, data: entity });
      page.push({
        version: ++version,
        kind: "definition",
        id: digestOf(integration),
        data: definitionOf(integration),
      });
    }
    page.push({
      version: ++version,
      kind: "instance",
      id: instanceIdOf(number),
      data: instanceEntityOf(number),
    });
    if (page.length < pageChanges) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
