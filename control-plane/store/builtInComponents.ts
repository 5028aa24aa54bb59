/** The public components, which data planes bring along: they are listed, and named by definitions. */
import type { ComponentParts } from "./componentParts.ts";

export interface BuiltInComponent {
  /** Stands where other components have a row's id. */
  id: string;
  key: string;
  label: string;
  description: string;
  category: string;
  parts: ComponentParts;
}

export const builtInComponents: readonly BuiltInComponent[] = [
  {
    id: "built-in-webhook-triggers",
    key: "webhook-triggers",
    label: "Webhook Triggers",
    description: "Starts a flow when a webhook arrives.",
    category: "Triggers",
    parts: {
      actions: [],
      triggers: [trigger("webhook", "Webhook", "Hands the webhook's request to the flow.", "invalid")],
      dataSources: [],
      connections: [],
    },
  },
  {
    id: "built-in-schedule-triggers",
    key: "schedule-triggers",
    label: "Schedule Triggers",
    description: "Starts a flow at the times of its schedule.",
    category: "Triggers",
    parts: {
      actions: [],
      triggers: [trigger("schedule", "Schedule", "Starts the flow on its schedule.", "required")],
      dataSources: [],
      connections: [],
    },
  },
  {
    id: "built-in-code",
    key: "code",
    label: "Code",
    description: "Runs JavaScript that is written in the integration itself.",
    category: "Logic",
    parts: {
      actions: [
        {
          key: "runCode",
          label: "Run Code",
          description: "Runs a function of the context and of the results of the steps before it.",
        },
      ],
      triggers: [],
      dataSources: [],
      connections: [],
    },
  },
];

function trigger(
  key: string,
  label: string,
  description: string,
  scheduleSupport: "invalid" | "required",
): ComponentParts["triggers"][number] {
  return { key, label, description, scheduleSupport, isPollingTrigger: false };
}
