/**
 * Ids of records. Inside the planes an id is a UUIDv7 (sorted by time of creation); outside it is a Relay
 * node id, the base64 of `Type:uuid`, as in Prismatic's API.
 */
import { randomBytes } from "node:crypto";
import { uuidv7 } from "uuidv7";

export type NodeType =
  | "ApiKey"
  | "AuditEvent"
  | "Command"
  | "Component"
  | "ComponentAction"
  | "Customer"
  | "Instance"
  | "InstanceConfigVariable"
  | "InstanceExecutionResult"
  | "InstanceFlowConfig"
  | "InstanceStepResult"
  | "Integration"
  | "IntegrationFlow"
  | "Log"
  | "Organization"
  | "OrganizationSigningKey"
  | "Rejection"
  | "RequiredConfigVariable"
  | "User"
  | "UserToken";

export const newId = (): string => uuidv7();

export function toNodeId(type: NodeType, id: string): string {
  return Buffer.from(`${type}:${id}`, "utf8").toString("base64");
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const nodeIdLengthMax = 512;

/** The type and id inside a node id, or null where the text is not one of ours. */
export function parseNodeId(nodeId: string): { type: string; id: string } | null {
  if (nodeId.length > nodeIdLengthMax) return null;
  const text = Buffer.from(nodeId, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon <= 0) return null;
  return { type: text.slice(0, colon), id: text.slice(colon + 1) };
}

/** The uuid inside a node id of the given type, or null: a wrong type never reads another type's row. */
export function idFromNodeId(type: NodeType, nodeId: string): string | null {
  const parsed = parseNodeId(nodeId);
  return parsed !== null && parsed.type === type && parsed.id.length > 0 ? parsed.id : null;
}

export const isUuid = (text: string): boolean => uuidPattern.test(text);

/** A URL token: 160 random bits in base64url (27 characters). It says nothing about what it belongs to. */
export const newUrlToken = (): string => randomBytes(20).toString("base64url");

/** A bearer token or API key made by us: 32 random bytes in base64url behind a prefix that names its kind. */
export const newSecret = (prefix: string): string => `${prefix}${randomBytes(32).toString("base64url")}`;
