/** The triggers that hand the request on: of webhooks, schedules, deploys and removals. */
import { managementTriggers as describedManagement } from "../../../shared/builtIns/managementTriggers.ts";
import { scheduleTriggers as describedSchedule } from "../../../shared/builtIns/scheduleTriggers.ts";
import { webhookTriggers as describedWebhook } from "../../../shared/builtIns/webhookTriggers.ts";
import { implement, type TriggerPerform } from "./implement.ts";
import { givenResponse } from "./response.ts";

const passOn: TriggerPerform = (_context, payload) => ({ payload });

const answer: TriggerPerform = (_context, payload, params) => ({ payload, ...givenResponse(params) });

export const webhookTriggers = implement(describedWebhook, { actions: {}, triggers: { webhook: answer } });
export const scheduleTriggers = implement(describedSchedule, { actions: {}, triggers: { schedule: passOn } });
export const managementTriggers = implement(describedManagement, {
  actions: {},
  triggers: { instanceDeploy: passOn, instanceRemove: passOn },
});
