/** The triggers that hand the request on: of webhooks, schedules, deploys and removals. */
import { managementTriggers as describedManagement } from "../../../shared/builtIns/managementTriggers.ts";
import { scheduleTriggers as describedSchedule } from "../../../shared/builtIns/scheduleTriggers.ts";
import { webhookTriggers as describedWebhook } from "../../../shared/builtIns/webhookTriggers.ts";
import { implement, type TriggerPerform } from "./implement.ts";
import { fromPairs, isGiven, list, optionalNumber, text } from "./values.ts";

const passOn: TriggerPerform = (_context, payload) => ({ payload });

/** The sender is answered with what the inputs say, where they say something. */
const answer: TriggerPerform = (_context, payload, params) => {
  const headers = fromPairs(list(params, "headers"));
  const isAnswer =
    ["statusCode", "contentType", "body"].some((key) => isGiven(params[key])) ||
    Object.keys(headers).length > 0;
  if (!isAnswer) return { payload };
  const response = {
    statusCode: optionalNumber(params, "statusCode") ?? 200,
    contentType: text(params, "contentType") || "application/json",
    headers,
    body: text(params, "body"),
  };
  return { payload, response };
};

export const webhookTriggers = implement(describedWebhook, { actions: {}, triggers: { webhook: answer } });
export const scheduleTriggers = implement(describedSchedule, { actions: {}, triggers: { schedule: passOn } });
export const managementTriggers = implement(describedManagement, {
  actions: {},
  triggers: { instanceDeploy: passOn, instanceRemove: passOn },
});
