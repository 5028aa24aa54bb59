/** The public components, by key: what each is described as in `shared/builtIns`, and what it does. */
import type { LoadedComponent } from "../modules.ts";
import { branch } from "./branch.ts";
import { code } from "./code.ts";
import { log } from "./log.ts";
import { loop } from "./loop.ts";
import { managementTriggers, scheduleTriggers, webhookTriggers } from "./passOn.ts";
import { sleep } from "./sleep.ts";
import { stopExecution } from "./stopExecution.ts";

export const builtIns: readonly LoadedComponent[] = [
  webhookTriggers,
  scheduleTriggers,
  managementTriggers,
  code,
  branch,
  loop,
  stopExecution,
  log,
  sleep,
];

const byKey = new Map(builtIns.map((component) => [component.key, component]));

export const builtIn = (componentKey: string): LoadedComponent | undefined => byKey.get(componentKey);
