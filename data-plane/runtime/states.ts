/** The states that flow code sees: parsed for one run, which may change them in place or return members of them. */
import { emptyState, packState, stateBytesMax, unpackState } from "../../shared/states.ts";
import { type RunStates, stateNames } from "./context.ts";
import type { StateTexts } from "./messages.ts";
import { RunError } from "./runError.ts";

export interface OpenStates {
  values: RunStates;
  /** Those that are not what they were; null where all are. Throws `RunError` where one can't be kept. */
  changed(): StateTexts | null;
}

export function openRunStates(texts: StateTexts | undefined): OpenStates {
  const before: StateTexts = {};
  const values: RunStates = {
    instanceState: {},
    crossFlowState: {},
    executionState: {},
    integrationState: {},
  };
  if (texts !== undefined) {
    for (const name of stateNames) {
      const text = texts[name];
      if (text === undefined) continue;
      const json = unpackState(text);
      before[name] = json;
      values[name] = JSON.parse(json) as Record<string, unknown>;
    }
  }
  return {
    values,
    changed() {
      let changed: StateTexts | null = null;
      for (const name of stateNames) {
        const json = jsonOf(name, values[name]);
        if (json === (before[name] ?? emptyState)) continue;
        changed ??= {};
        changed[name] = packState(json);
      }
      return changed;
    },
  };
}

/** Member by member, so that one which is far too large ends there. */
function jsonOf(name: string, state: Record<string, unknown>): string {
  let members = "";
  for (const key of Object.keys(state)) {
    const json = memberJson(name, key, state[key]);
    // As JSON has it: functions, symbols and undefined are left out.
    if (json === undefined) continue;
    members += `${members === "" ? "" : ","}${JSON.stringify(key)}:${json}`;
    if (members.length > stateBytesMax) throw tooLarge(name);
  }
  const json = `{${members}}`;
  if (json.length > stateBytesMax / 3 && Buffer.byteLength(json) > stateBytesMax) throw tooLarge(name);
  return json;
}

function memberJson(name: string, key: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError && /string length/i.test(error.message)) throw tooLarge(name);
    const reason = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    throw new RunError(
      "STATE_INVALID",
      `"${key}" of ${name} can't be kept, so nothing of this run's state was: state must be JSON. ${reason}`,
      { cause: error },
    );
  }
}

const megabytesMax = stateBytesMax / (1024 * 1024);

const tooLarge = (name: string): RunError =>
  new RunError(
    "STATE_TOO_LARGE",
    `${name} takes more than ${megabytesMax} MB as JSON, so nothing of this run's state was kept.`,
  );
