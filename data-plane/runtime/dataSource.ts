/** Calling a data source: what gives the wizard of an instance its choices. It is no step, and leaves no record. */
import type { RunCapture } from "./capture.ts";
import { componentOf, createLogger } from "./context.ts";
import { resolveInputs } from "./inputs.ts";
import type { BundlePlace, DataSourceWork } from "./messages.ts";
import type { Modules } from "./modules.ts";
import { plainCopy, TooLargeError } from "./plainCopy.ts";

export interface DataSourceOptions {
  bundles: Record<string, BundlePlace>;
  work: DataSourceWork;
  modules: Modules;
  capture: RunCapture;
  memoryMb: number;
}

/** As much as a wizard can show. */
const resultBytesMax = 1024 * 1024;
const depthMax = 100;

/** Its `result` and `supplementalData` as plain data. Throws what the data source throws. */
export async function callDataSource(options: DataSourceOptions): Promise<unknown> {
  const { bundles, work, modules, capture, memoryMb } = options;
  const { dataSource, configVars, attributes } = work;
  const component = componentOf(modules, bundles, dataSource);
  const sources = component.dataSources ?? {};
  if (!Object.hasOwn(sources, dataSource.key)) {
    throw new Error(`The component "${dataSource.componentKey}" has no data source "${dataSource.key}".`);
  }
  const source = sources[dataSource.key]!;
  const params = resolveInputs(work.inputs, source.inputs ?? [], { stepResults: {}, configVars });
  const context = {
    logger: createLogger(capture, dataSource.key),
    configVars,
    ...attributes,
    // spectral's wrapper around the data sources of components looks for these.
    globalDebug: false,
    runnerAllocatedMemoryMb: memoryMb,
    webhookUrls: {},
    webhookApiKeys: {},
  };
  const returned = await source.perform(context, params);
  if (typeof returned !== "object" || returned === null || !("result" in returned)) {
    throw new Error(`The data source "${dataSource.key}" returned no result.`);
  }
  const { result, supplementalData } = returned as { result: unknown; supplementalData?: unknown };
  const given = supplementalData === undefined ? { result } : { result, supplementalData };
  try {
    return plainCopy(given, { purpose: "answer", bytesMax: resultBytesMax, depthMax, redactor: null });
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    throw new Error(`What the data source "${dataSource.key}" gave is larger than ${resultBytesMax} bytes.`, {
      cause: error,
    });
  }
}
