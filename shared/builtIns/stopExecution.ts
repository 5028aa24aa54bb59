import { describeBuiltIn } from "./description.ts";

export const stopExecution = describeBuiltIn({
  key: "stop-execution",
  label: "Stop Execution",
  description: "Ends a run before its last step.",
  category: "Logic",
  actions: {
    stopExecution: {
      label: "Stop Execution",
      description: "Ends the run; the sender of a synchronous request is answered with what is given here.",
      inputs: {
        statusCode: { label: "HTTP Status Code", type: "string", default: "200" },
        jsonBody: { label: "Response Body", type: "data" },
        contentType: { label: "Response Content Type", type: "string", default: "application/json" },
        headers: { label: "HTTP Headers", type: "string", collection: "keyvaluelist" },
      },
      terminateExecution: true,
    },
  },
  triggers: {},
});
