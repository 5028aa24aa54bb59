/** The names of what belongs to instances and executions, apart from their fields: see `refs.ts`. */
import type { Flow } from "../../shared/definition.ts";
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import type { ApiKeyRow } from "../store/apiKeys.ts";
import type { ConfiguredVersion } from "../store/configuredVersions.ts";
import type { KeptConfigVariable, VariableOwner } from "../store/configVariables.ts";
import type { ConfigTables, ExecutionTables } from "../store/tables.ts";
import { builder } from "./builder.ts";
import type { InstanceRow } from "./refs.ts";

/** One flow of one instance. */
export interface FlowConfigItem {
  row: ConfigTables["instanceFlowConfigs"];
  instance: InstanceRow;
  configured: ConfiguredVersion;
  /** Null where the version that the instance is set to has no such flow any more. */
  flow: Flow | null;
}

/** A config variable that the instance's version asks for, with what was given for it. */
export interface ConfigVariableItem {
  instance: InstanceRow;
  owner: VariableOwner;
  configured: ConfiguredVersion;
  variable: RequiredConfigVar;
  given: KeptConfigVariable | undefined;
  /** The names of the connection's input fields that may be shown. */
  shownInputs: ReadonlySet<string>;
}

/** An execution without its request, which may be large and is read on its own. */
export type ExecutionItem = Omit<ExecutionTables["executions"], "bucketAtMs">;
/** A rejection without its request. */
export type RejectionItem = Omit<ExecutionTables["rejections"], "requestJson"> & { hasRequest: number };

export const InstanceFlowConfig = builder.objectRef<FlowConfigItem>("InstanceFlowConfig");
export const InstanceConfigVariable = builder.objectRef<ConfigVariableItem>("InstanceConfigVariable");
export const ApiKey = builder.objectRef<ApiKeyRow>("ApiKey");
export const Execution = builder.objectRef<ExecutionItem>("InstanceExecutionResult");
export const Rejection = builder.objectRef<RejectionItem>("Rejection");
