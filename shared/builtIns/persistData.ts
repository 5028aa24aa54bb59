import { type BuiltInAction, type BuiltInInput, describeBuiltIn } from "./description.ts";

const keyInput = { label: "Key", type: "string", required: true } as const satisfies BuiltInInput;
const valueInput = { label: "Value", type: "data" } as const satisfies BuiltInInput;
const amountInput = { label: "Amount", type: "string", default: "1" } as const satisfies BuiltInInput;

/** The scopes, as the actions' keys name them, and what they are called. */
export const stateScopes = {
  Execution: "Execution",
  Instance: "Flow",
  CrossFlow: "Cross Flow",
  Integration: "Integration",
} as const;

export type StateScope = keyof typeof stateScopes;

type ScopedKey<Scope extends string> =
  | `get${Scope}Value`
  | `save${Scope}Value`
  | `save${Scope}CurrentTime`
  | `remove${Scope}Value`
  | `append${Scope}ValueToList`
  | `remove${Scope}ValueFromList`
  | `add${Scope}ValueToSet`
  | `remove${Scope}ValueFromSet`
  | `increment${Scope}Value`
  | `decrement${Scope}Value`
  | `list${Scope}Keys`
  | `remove${Scope}State`;

function scoped<Scope extends StateScope>(scope: Scope): Record<ScopedKey<Scope>, BuiltInAction> {
  const action = (
    label: string,
    description: string,
    inputs: Record<string, BuiltInInput>,
  ): BuiltInAction => ({ label: `${stateScopes[scope]} - ${label}`, description, inputs });
  const actions: Record<string, BuiltInAction> = {
    [`get${scope}Value`]: action("Get Value", "What was stored under a key.", {
      keyInput,
      defaultValueInput: { label: "Default Value", type: "data" },
    }),
    [`save${scope}Value`]: action("Save Value", "Stores a value.", {
      keyInput: { ...keyInput, required: false },
      valueInput,
      keyValueInput: {
        label: "Key/Values",
        type: "data",
        collection: "keyvaluelist",
        comments: "Several at once; counts before the other inputs.",
      },
    }),
    [`save${scope}CurrentTime`]: action("Save Current Time", "Stores the time as an ISO text in UTC.", {
      keyInput,
    }),
    [`remove${scope}Value`]: action("Remove Value", "Forgets what was stored under a key.", { keyInput }),
    [`append${scope}ValueToList`]: action("Append Value To List", "Adds to the end of a stored list.", {
      keyInput,
      valueInput,
    }),
    [`remove${scope}ValueFromList`]: action("Remove Value From List", "Takes it out of a stored list.", {
      keyInput,
      valueInput,
    }),
    [`add${scope}ValueToSet`]: action("Add Value To Set", "Adds it where the stored list lacks it.", {
      keyInput,
      valueInput,
    }),
    [`remove${scope}ValueFromSet`]: action("Remove Value From Set", "Takes it out of a stored list.", {
      keyInput,
      valueInput,
    }),
    [`increment${scope}Value`]: action("Increment Value", "Adds to a stored number.", {
      keyInput,
      amountInput,
    }),
    [`decrement${scope}Value`]: action("Decrement Value", "Takes from a stored number.", {
      keyInput,
      amountInput,
    }),
    [`list${scope}Keys`]: action("List Keys", "The keys under which something is stored.", {}),
    [`remove${scope}State`]: action("Clear All State", "Forgets everything.", {}),
  };
  return actions as Record<ScopedKey<Scope>, BuiltInAction>;
}

export const persistData = describeBuiltIn({
  key: "persist-data",
  label: "Persist Data",
  description: "Keeps values for later steps, or for later runs.",
  category: "Helpers",
  actions: {
    ...scoped("Execution"),
    ...scoped("Instance"),
    ...scoped("CrossFlow"),
    ...scoped("Integration"),
  },
  triggers: {},
});
