/** All public components. Which of them does what stands in the data plane, under the same keys. */
import { branch } from "./branch.ts";
import { code } from "./code.ts";
import type { BuiltIn } from "./description.ts";
import { log } from "./log.ts";
import { loop } from "./loop.ts";
import { managementTriggers } from "./managementTriggers.ts";
import { scheduleTriggers } from "./scheduleTriggers.ts";
import { sleep } from "./sleep.ts";
import { stopExecution } from "./stopExecution.ts";
import { webhookTriggers } from "./webhookTriggers.ts";

export const builtInCatalogue: readonly BuiltIn[] = [
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
