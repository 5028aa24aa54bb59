import { describeBuiltIn } from "./description.ts";

export const crossFlow = describeBuiltIn({
  key: "cross-flow",
  label: "Cross Flow",
  description: "One flow of an instance invokes another.",
  category: "Logic",
  actions: {
    invokeFlow: {
      label: "Invoke Flow",
      description: "Starts another flow of the instance, as an execution of its own.",
      inputs: {
        flowName: { label: "Flow Name", type: "string", required: true },
        data: { label: "Data", type: "data", comments: "What the other flow gets as its body." },
      },
    },
  },
  triggers: {
    crossFlow: {
      label: "Cross-Flow Trigger",
      description: "Starts the flow when another flow invokes it.",
      inputs: {},
      scheduleSupport: "invalid",
      hasCode: false,
    },
  },
});
