/** What an execution's record says of its retries. */
import { builder } from "./builder.ts";
import { loadExecution } from "./executions.ts";
import { Execution } from "./instanceRefs.ts";

builder.objectFields(Execution, (t) => ({
  retryForExecution: t.field({
    type: Execution,
    nullable: true,
    description: "The execution that failed first and that this one runs again; null where it is no retry.",
    resolve: ({ retryOf }, _args, context) => (retryOf === null ? null : loadExecution(context, retryOf)),
  }),
  retryAttemptNumber: t.exposeInt("retryNumber", {
    description: "Which retry it is, from 1; 0 where it is none.",
  }),
  retryCount: t.exposeInt("retryNumber", {
    description: "How many retries there had been when it ran, itself included.",
  }),
  maxRetryCount: t.exposeInt("maxRetryCount", {
    description: "How many retries its flow allows; 0 where it is not retried.",
  }),
  resultType: t.exposeString("resultType", {
    nullable: true,
    description:
      "What kind of success it is: DUPLICATE where it was not run, since one with the same id waited or ran in its flow's queue; POLLED_NO_CHANGES where its trigger found nothing new; null where its flow ran to its end.",
  }),
  retryNextAt: t.field({
    type: "DateTime",
    nullable: true,
    description: "When it is to be run again; null where it is not.",
    resolve: ({ retryNextAtMs }) => retryNextAtMs,
  }),
  retryUniqueRequestId: t.exposeString("uniqueRequestId", {
    nullable: true,
    description: "What tells its request from others: a newer one with the same cancels its retries.",
  }),
}));
