/**
 * The nouns' names and what stands behind each: declared apart from their fields, so that nouns can refer to
 * each other without importing each other in a circle.
 */
import type { Definition, Flow } from "../../shared/definition.ts";
import type { ComponentHead } from "../store/components.ts";
import type { ConfigTables } from "../store/tables.ts";
import { builder } from "./builder.ts";

export type CustomerRow = ConfigTables["customers"];
export type UserRow = ConfigTables["users"];
export type IntegrationRow = ConfigTables["integrations"];
export type VersionRow = ConfigTables["versions"];
export type InstanceRow = ConfigTables["instances"];

/** An integration's draft (`version: null`) or one of its published versions: both are `Integration` outside. */
export interface IntegrationItem {
  integration: IntegrationRow;
  version: VersionRow | null;
}

/** One flow of a draft or version. */
export interface FlowItem {
  /** The id of its row in `flows`. */
  id: string;
  owner: IntegrationItem;
  definition: Definition;
  flow: Flow;
}

export const Customer = builder.objectRef<CustomerRow>("Customer");
export const User = builder.objectRef<UserRow>("User");
export const Integration = builder.objectRef<IntegrationItem>("Integration");
export const IntegrationFlow = builder.objectRef<FlowItem>("IntegrationFlow");
export const Component = builder.objectRef<ComponentHead>("Component");
export const Instance = builder.objectRef<InstanceRow>("Instance");
