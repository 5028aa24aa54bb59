/** What a component is made of, as `components.definitionJson` holds it: what its builder published, read leniently. */
import { z } from "zod";

const display = z
  .object({ label: z.string().optional(), description: z.string().optional() })
  .loose()
  .nullish();
const part = z
  .object({
    key: z.string().min(1, "Every part of a component needs a key.").max(200),
    display,
    label: z.string().nullish(),
    description: z.string().nullish(),
  })
  .loose();

/** An action, trigger or data source as published. Fields that are not known here are kept. */
const action = part.extend({
  scheduleSupport: z.string().nullish(),
  isPollingTrigger: z.boolean().nullish(),
  dataSourceType: z.string().nullish(),
});
const connection = part.extend({ iconPath: z.string().nullish(), avatarIconPath: z.string().nullish() });

export const componentPartsSchema = z.object({
  actions: z.array(action).max(5000),
  triggers: z.array(action).max(5000),
  dataSources: z.array(action).max(5000),
  connections: z.array(connection).max(1000),
});

export type ComponentParts = z.infer<typeof componentPartsSchema>;
export type ActionPart = ComponentParts["actions"][number];

export const labelOf = (action: ActionPart): string => action.display?.label ?? action.label ?? action.key;
export const descriptionOf = (action: ActionPart): string =>
  action.display?.description ?? action.description ?? "";
