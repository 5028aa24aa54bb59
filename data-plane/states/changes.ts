/** What the parts of one execution have changed: the later part sees it, and all of it is kept with the outcome. */
import { type StateKey, stateKeyText } from "../../shared/states.ts";
import type { StateTexts } from "../runtime/messages.ts";
import { keptStateNames, type RunStateKeys } from "./keys.ts";

export interface StateChanges {
  /** By the text of its key. */
  kept: Map<string, { key: StateKey; value: string }>;
  /** Of the execution alone: it goes from part to part, and ends with it. */
  executionState: string | undefined;
}

export function withChanges(
  changes: StateChanges | null,
  keys: RunStateKeys,
  changed: StateTexts,
): StateChanges {
  const kept = changes?.kept ?? new Map();
  for (const name of keptStateNames) {
    const value = changed[name];
    if (value !== undefined) kept.set(stateKeyText(keys[name]), { key: keys[name], value });
  }
  return { kept, executionState: changed.executionState ?? changes?.executionState };
}

/** What a part begins with: what is stored, as the part before it has left it. */
export function asChanged(
  stored: StateTexts | null,
  keys: RunStateKeys,
  changes: StateChanges,
): StateTexts | null {
  const texts: StateTexts = { ...stored };
  for (const name of keptStateNames) {
    const change = changes.kept.get(stateKeyText(keys[name]));
    if (change !== undefined) texts[name] = change.value;
  }
  if (changes.executionState !== undefined) texts.executionState = changes.executionState;
  return Object.keys(texts).length === 0 ? null : texts;
}
