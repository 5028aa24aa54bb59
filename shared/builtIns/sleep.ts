import { describeBuiltIn } from "./description.ts";

export const sleep = describeBuiltIn({
  key: "sleep",
  label: "Sleep",
  description: "Waits.",
  category: "Logic",
  actions: {
    sleep: {
      label: "Sleep",
      description: "Waits before the next step; the time counts as the run's.",
      inputs: { ms: { label: "Milliseconds", type: "string", required: true } },
    },
  },
  triggers: {},
});
