import { describeBuiltIn } from "./description.ts";

export const managementTriggers = describeBuiltIn({
  key: "management-triggers",
  label: "Management Triggers",
  description: "Starts a flow when an instance is deployed or removed.",
  category: "Triggers",
  actions: {},
  triggers: {
    instanceDeploy: {
      label: "Instance Deploy",
      description: "Starts the flow when an instance is deployed.",
      inputs: {},
      scheduleSupport: "invalid",
      hasCode: false,
    },
    instanceRemove: {
      label: "Instance Remove",
      description: "Starts the flow when an instance is removed.",
      inputs: {},
      scheduleSupport: "invalid",
      hasCode: false,
    },
  },
});
