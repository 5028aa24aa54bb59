import { describeBuiltIn } from "./description.ts";

export const branch = describeBuiltIn({
  key: "branch",
  label: "Branch",
  description: "Chooses the steps that run next, by a value or by conditions.",
  category: "Logic",
  actions: {
    branchOnExpression: {
      label: "Branch on Expression",
      description: "Takes the first branch whose condition holds, or Else.",
      inputs: {
        conditions: {
          label: "Conditions",
          type: "conditional",
          collection: "keyvaluelist",
          required: true,
          comments: "Names of branches, each with its condition.",
        },
      },
      dynamicBranchInput: "conditions",
    },
    branchOnValue: {
      label: "Branch on Value",
      description: "Takes the branch that belongs to a value, or Else.",
      inputs: {
        inputValue: { label: "Input Value", type: "string", required: true },
        branchValueMappings: {
          label: "Branch Value Mapping",
          type: "string",
          collection: "keyvaluelist",
          required: true,
          comments: "Names of branches, each with its value.",
        },
      },
      dynamicBranchInput: "branchValueMappings",
    },
  },
  triggers: {},
});
