/** Which flows of a version want to run, and which of their triggers' functions, as their instance comes and goes. */
import type { Step } from "../../shared/definition.ts";
import type { HookName } from "../../shared/invocations.ts";
import type { ActionPart } from "./componentParts.ts";
import { componentOfStep, findAction, partsOf } from "./components.ts";
import type { DeployedFlow } from "./invokedFlows.ts";
import type { ConfigDatabase, ConfigTransaction } from "./store.ts";

export interface FlowLifecycle {
  deployed: DeployedFlow;
  hooks: ReadonlySet<HookName>;
  /** At each deploy, or at the first one only. */
  runsOnDeploy: "each" | "first" | "never";
  runsOnRemove: boolean;
}

const managementTriggers = "management-triggers";

/** What spectral's converted triggers say of themselves when their component is published. */
const flags: Record<HookName, string> = {
  onInstanceDeploy: "hasOnInstanceDeploy",
  webhookCreate: "hasWebhookCreateFunction",
  webhookDelete: "hasWebhookDeleteFunction",
  onInstanceDelete: "hasOnInstanceDelete",
};

/** Those of these flows that have anything of it. */
export async function lifecycleOf(
  database: ConfigDatabase | ConfigTransaction,
  flows: readonly DeployedFlow[],
): Promise<FlowLifecycle[]> {
  const triggers = createTriggers(database);
  const found: FlowLifecycle[] = [];
  for (const deployed of flows) {
    const { flow, configured } = deployed;
    const { action } = flow.steps[0]!;
    if (action.isPublic) {
      const isManagement = action.componentKey === managementTriggers;
      const isOnDeploy = isManagement ? action.key === "instanceDeploy" : recursesOnDeploy(flow.steps[0]!);
      const runsOnRemove = isManagement && action.key === "instanceRemove";
      if (!isOnDeploy && !runsOnRemove) continue;
      const runsOnDeploy = isOnDeploy ? "each" : "never";
      found.push({ deployed, hooks: new Set(), runsOnDeploy, runsOnRemove });
      continue;
    }
    const trigger = await triggers.find(action, configured.definition.bundles);
    if (trigger === null) continue;
    const hooks = new Set(hookNames.filter((hook) => trigger.part[flags[hook]] === true));
    // A code-native flow has it by being written; a component's trigger brings it along for those who ask.
    const isWanted = trigger.isOwn || flow.runsInitialSync === true;
    const runsOnDeploy = trigger.part["hasOnDeployPerform"] === true && isWanted ? "first" : "never";
    if (hooks.size > 0 || runsOnDeploy !== "never")
      found.push({ deployed, hooks, runsOnDeploy, runsOnRemove: false });
  }
  return found;
}

/** A recursive trigger that is told to. */
const recursesOnDeploy = ({ action, inputs }: Step): boolean =>
  action.componentKey === "recursive-flow" && inputs["runOnDeploy"]?.value === "true";

const hookNames = Object.keys(flags) as HookName[];

interface FoundTrigger {
  part: ActionPart & Record<string, unknown>;
  /** Made of the integration's own code. */
  isOwn: boolean;
}

/** Each component is read once: those of large integrations are large. */
function createTriggers(database: ConfigDatabase | ConfigTransaction) {
  const components = new Map<string, Awaited<ReturnType<typeof read>>>();
  const read = async (
    action: DeployedFlow["flow"]["steps"][number]["action"],
    bundles: Record<string, string>,
  ) => {
    const head = await componentOfStep(database, action, bundles);
    return head === null ? null : { head, parts: await partsOf(database, head) };
  };
  return {
    async find(
      action: DeployedFlow["flow"]["steps"][number]["action"],
      bundles: Record<string, string>,
    ): Promise<FoundTrigger | null> {
      let component = components.get(action.componentKey);
      if (component === undefined) {
        component = await read(action, bundles);
        components.set(action.componentKey, component);
      }
      const part = component === null ? undefined : findAction(component.parts, action.key, true);
      if (component === null || part === undefined) return null;
      return { part: part as FoundTrigger["part"], isOwn: component.head.isCodeNative === 1 };
    },
  };
}
