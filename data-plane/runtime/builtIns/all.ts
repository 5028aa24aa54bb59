/** The public components, by key: what each is described as in `shared/builtIns`, and what it does. */
import type { LoadedComponent } from "../modules.ts";
import { branch } from "./branch.ts";
import { changeDataFormat } from "./changeDataFormat.ts";
import { code } from "./code.ts";
import { collectionTools } from "./collectionTools.ts";
import { crossFlow } from "./crossFlow.ts";
import { datetime } from "./datetime.ts";
import { hash } from "./hash.ts";
import { http } from "./http.ts";
import { log } from "./log.ts";
import { loop } from "./loop.ts";
import { math } from "./math.ts";
import { managementTriggers, scheduleTriggers, webhookTriggers } from "./passOn.ts";
import { persistData } from "./persistData.ts";
import { recursiveFlow } from "./recursiveFlow.ts";
import { sleep } from "./sleep.ts";
import { stopExecution } from "./stopExecution.ts";
import { textManipulation } from "./textManipulation.ts";

export const builtIns: readonly LoadedComponent[] = [
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

const byKey = new Map(builtIns.map((component) => [component.key, component]));

export const builtIn = (componentKey: string): LoadedComponent | undefined => byKey.get(componentKey);
