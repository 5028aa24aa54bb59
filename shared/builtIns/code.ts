import { describeBuiltIn } from "./description.ts";

export const code = describeBuiltIn({
  key: "code",
  label: "Code",
  description: "Runs JavaScript that is written in the integration itself.",
  category: "Logic",
  actions: {
    runCode: {
      label: "Run Code",
      description: "Runs a function of the context and of the results of the steps before it.",
      inputs: {
        code: {
          label: "Code",
          type: "code",
          required: true,
          comments: "Sets module.exports to an asynchronous function that returns an object with data.",
        },
      },
    },
  },
  triggers: {},
});
