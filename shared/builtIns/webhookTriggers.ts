import { describeBuiltIn } from "./description.ts";

export const webhookTriggers = describeBuiltIn({
  key: "webhook-triggers",
  label: "Webhook Triggers",
  description: "Starts a flow when a webhook arrives.",
  category: "Triggers",
  actions: {},
  triggers: {
    webhook: {
      label: "Webhook",
      description: "Hands the webhook's request to the flow.",
      inputs: {
        statusCode: { label: "Response Status Code", type: "string", comments: "200 where it is left out." },
        contentType: { label: "Response Content Type", type: "string" },
        headers: { label: "Response Headers", type: "string", collection: "keyvaluelist" },
        body: { label: "Response Body", type: "string" },
      },
      scheduleSupport: "invalid",
      hasCode: false,
    },
  },
});
