/** What a public component is made of, as both planes must know it: the one lists it, the other runs it. */

export type BuiltInInputType = "string" | "text" | "boolean" | "code" | "data" | "conditional" | "connection";

export interface BuiltInInput {
  label: string;
  type: BuiltInInputType;
  comments?: string;
  required?: boolean;
  default?: string;
  /** The value is a list, or a list of keys with values. */
  collection?: "valuelist" | "keyvaluelist";
  /** The values that it can have. */
  choices?: readonly string[];
}

export interface BuiltInAction {
  label: string;
  description: string;
  inputs: Readonly<Record<string, BuiltInInput>>;
  /** What it returns as `branch` names the branch that runs next; this input holds the branches' names. */
  dynamicBranchInput?: string;
  /** The run ends after it, and went well. */
  terminateExecution?: boolean;
  /** The loop that it stands in ends after it. */
  breakLoop?: boolean;
  /** The steps in it run for each member of the list that it returns. */
  isLoop?: boolean;
}

export interface BuiltInTrigger {
  label: string;
  description: string;
  inputs: Readonly<Record<string, BuiltInInput>>;
  scheduleSupport: "invalid" | "valid" | "required";
  /** False where it only passes the request on, so that no answer waits for it. */
  hasCode: boolean;
}

export interface BuiltIn {
  key: string;
  label: string;
  description: string;
  category: "Triggers" | "Logic" | "Data Platforms" | "Helpers";
  actions: Readonly<Record<string, BuiltInAction>>;
  triggers: Readonly<Record<string, BuiltInTrigger>>;
}

/** Keeps the keys as types, so that an implementation that lacks one does not compile. */
export const describeBuiltIn = <const Description extends BuiltIn>(description: Description): Description =>
  description;
