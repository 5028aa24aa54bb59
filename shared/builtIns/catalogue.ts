/** All public components. What each of them does stands in the data plane, under the same keys. */

import { branch } from "./branch.ts";
import { changeDataFormat } from "./changeDataFormat.ts";
import { code } from "./code.ts";
import { collectionTools } from "./collectionTools.ts";
import { crossFlow } from "./crossFlow.ts";
import { datetime } from "./datetime.ts";
import type { BuiltIn } from "./description.ts";
import { hash } from "./hash.ts";
import { http } from "./http.ts";
import { log } from "./log.ts";
import { loop } from "./loop.ts";
import { managementTriggers } from "./managementTriggers.ts";
import { math } from "./math.ts";
import { persistData } from "./persistData.ts";
import { recursiveFlow } from "./recursiveFlow.ts";
import { scheduleTriggers } from "./scheduleTriggers.ts";
import { sleep } from "./sleep.ts";
import { stopExecution } from "./stopExecution.ts";
import { textManipulation } from "./textManipulation.ts";
import { webhookTriggers } from "./webhookTriggers.ts";

export const builtInCatalogue: readonly BuiltIn[] = [
  webhookTriggers,
  scheduleTriggers,
  managementTriggers,
  code,
  http,
  log,
  branch,
  loop,
  stopExecution,
  sleep,
  collectionTools,
  textManipulation,
  changeDataFormat,
  persistData,
  recursiveFlow,
  crossFlow,
  hash,
  math,
  datetime,
];
