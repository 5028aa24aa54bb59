/** Low-code flows in real run threads, written shortly, without planes around them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "@msgpack/msgpack";
import { stringify } from "yaml";
import type { Definition } from "../../shared/definition.ts";
import { importDefinition } from "../../shared/importDefinition.ts";
import type { StepReport } from "../../shared/reports.ts";
import { type Recorded, runFlow, startRunner } from "./flowRunner.ts";

export interface FlowRun extends Omit<Recorded, "steps"> {
  /** What the flow gave. */
  data: unknown;
  steps: (Omit<StepReport, "results"> & { results: unknown })[];
}

export interface FlowRuns {
  /** Runs a flow of the definition: the named one, or the first. */
  run(definition: Definition, sent?: Sent): Promise<FlowRun>;
  stop(): Promise<void>;
}

export interface Sent {
  flowName?: string;
  /** Sent as JSON. */
  body?: unknown;
  headers?: [string, string][];
}

/** A step as a definition has it, shortly: `[name, "component/action", inputs, more]`. */
export type ShortStep = [
  name: string,
  action: string,
  inputs?: Record<string, unknown>,
  more?: { steps?: ShortStep[]; branches?: Record<string, ShortStep[]>; errorConfig?: object },
];

/** A definition with one flow: a webhook trigger called "Trigger", and these steps. */
export const definitionOf = (steps: ShortStep[], bundles: Record<string, string> = {}): Definition => ({
  ...importDefinition(yamlOf(steps)).definition,
  bundles,
});

/** The same as YAML; components with a capital letter are private ones. */
export const yamlOf = (steps: ShortStep[], name = "Short", trigger = "webhook-triggers/webhook"): string =>
  stringify({
    definitionVersion: 7,
    name,
    flows: [
      {
        name: "Flow",
        steps: [{ ...longStep(["Trigger", trigger]), isTrigger: true }, ...steps.map(longStep)],
      },
    ],
  });

/** Texts are values; `{ref}`, `{template}` and `{configVar}` are what they say; everything else as it is. */
function longStep([name, action, inputs = {}, more = {}]: ShortStep): Record<string, unknown> {
  const [component = "", key = ""] = action.split("/");
  const { steps, branches, errorConfig } = more;
  return {
    name,
    action: { key, component: { key: component, isPublic: component === component.toLowerCase() } },
    inputs: Object.fromEntries(Object.entries(inputs).map(([input, value]) => [input, longInput(value)])),
    ...(errorConfig === undefined ? {} : { errorConfig }),
    ...(steps === undefined ? {} : { steps: steps.map(longStep) }),
    ...(branches === undefined
      ? {}
      : {
          branches: Object.entries(branches).map(([branch, inner]) => ({
            name: branch,
            steps: inner.map(longStep),
          })),
        }),
  };
}

function longInput(value: unknown): unknown {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const { ref, template, configVar } = value as Record<string, unknown>;
    if (ref !== undefined) return { type: "reference", value: ref };
    if (template !== undefined) return { type: "template", value: template };
    if (configVar !== undefined) return { type: "configVar", value: configVar };
    return value;
  }
  if (Array.isArray(value)) return { type: "complex", value: value.map(longInput) };
  return { type: "value", value };
}

export async function startFlowRuns(environment: Record<string, string> = {}): Promise<FlowRuns> {
  const folder = await mkdtemp(join(tmpdir(), "switchyard-flows-"));
  const runner = startRunner(folder, environment);
  return {
    async run(definition, { flowName = definition.flows[0]!.name, body, headers } = {}) {
      const request = {
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(headers === undefined ? {} : { headers }),
      };
      const recorded = await runFlow(runner, flowName, request, { definition });
      return {
        ...recorded,
        data: recorded.outcome.result?.data,
        steps: recorded.steps.map((step) => ({ ...step, results: resultsOf(step) })),
      };
    },
    async stop() {
      await runner.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const resultsOf = (step: StepReport): unknown =>
  (decode(Buffer.from(step.results, "base64")) as { data?: unknown }).data;
