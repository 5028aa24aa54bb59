import { describeBuiltIn } from "./description.ts";

export const loop = describeBuiltIn({
  key: "loop",
  label: "Loop",
  description: "Runs steps again and again: for each of many items, or a number of times.",
  category: "Logic",
  actions: {
    loopOverItems: {
      label: "Loop Over Items",
      description: "Runs its steps for each item; gives the list of what the last of them gave.",
      inputs: {
        items: {
          label: "Items",
          type: "string",
          required: true,
          comments: "A list, or an object, whose items are its members as key and value.",
        },
      },
      isLoop: true,
    },
    loopNTimes: {
      label: "Loop N Times",
      description: "Runs its steps a number of times; gives the list of what the last of them gave.",
      inputs: {
        iterationCount: { label: "Number of Iterations", type: "string", required: true, default: "1000" },
      },
      isLoop: true,
    },
    breakLoop: {
      label: "Break Loop",
      description: "Leaves the loop that it stands in.",
      inputs: {},
      breakLoop: true,
    },
  },
  triggers: {},
});
