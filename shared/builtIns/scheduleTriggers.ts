import { describeBuiltIn } from "./description.ts";

export const scheduleTriggers = describeBuiltIn({
  key: "schedule-triggers",
  label: "Schedule Triggers",
  description: "Starts a flow at the times of its schedule.",
  category: "Triggers",
  actions: {},
  triggers: {
    schedule: {
      label: "Schedule",
      description: "Starts the flow on its schedule.",
      inputs: {},
      scheduleSupport: "required",
      hasCode: false,
    },
  },
});
