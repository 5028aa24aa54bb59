/** The addresses that flow code is told: one for each flow, by its name. */
import type { Definition } from "../shared/definition.ts";
import type { InstanceEntity, IntegrationEntity } from "../shared/feed.ts";

export function webhookUrlsOf(
  ingressUrl: string,
  definition: Definition,
  instance: InstanceEntity | null,
  integration: IntegrationEntity,
): Record<string, string> {
  const urls: [string, string][] = definition.flows.flatMap((flow) => {
    const token = tokenFor(definition, instance, integration, flow.stableKey);
    return token === null ? [] : [[flow.name, `${ingressUrl}/trigger/${token}`]];
  });
  return Object.fromEntries(urls);
}

function tokenFor(
  definition: Definition,
  instance: InstanceEntity | null,
  integration: IntegrationEntity,
  stableKey: string,
): string | null {
  // A system instance's flows are tested one by one, at their own URLs.
  if (instance !== null && (instance.isSystem || definition.endpointType === "flow_specific"))
    return instance.flows[stableKey]?.token ?? null;
  if (definition.endpointType === "instance_specific") return instance?.token ?? null;
  return integration.token;
}
