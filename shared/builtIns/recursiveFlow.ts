import { describeBuiltIn } from "./description.ts";

export const recursiveFlow = describeBuiltIn({
  key: "recursive-flow",
  label: "Recursive Flow",
  description: "A flow that invokes itself again and again, with a cursor that says how far it came.",
  category: "Logic",
  actions: {
    getCursor: {
      label: "Get Recursive Cursor",
      description: "How far the runs before came.",
      inputs: {},
    },
    setCursor: {
      label: "Set Recursive Cursor",
      description: "Says where the next run goes on.",
      inputs: { cursor: { label: "Cursor", type: "data", required: true } },
    },
    invokeRecursive: {
      label: "Invoke Recursive Flow",
      description: "Starts the flow again with the cursor, as an execution of its own.",
      inputs: {},
    },
  },
  triggers: {
    recursiveTrigger: {
      label: "Recursive Trigger",
      description: "Starts the flow by a webhook, by the flow itself, or when an instance is deployed.",
      inputs: {
        defaultCursor: {
          label: "Default Cursor",
          type: "string",
          comments: "Where the first run begins.",
        },
        runOnDeploy: {
          label: "Run On Deploy",
          type: "boolean",
          default: "false",
          comments: "Starts the flow with the default cursor each time that an instance is deployed.",
        },
      },
      scheduleSupport: "valid",
      hasCode: true,
    },
  },
});
