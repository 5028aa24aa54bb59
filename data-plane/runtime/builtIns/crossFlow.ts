import { crossFlow as described } from "../../../shared/builtIns/crossFlow.ts";
import { type ActionPerform, implement } from "./implement.ts";
import { parsed, requiredText } from "./values.ts";

const invokeFlow: ActionPerform = async (context, params) => {
  const invoke = context["invokeFlow"] as (name: string, data: unknown) => Promise<{ data: unknown }>;
  const { data } = await invoke(requiredText(params, "flowName"), parsed(params["data"]));
  return { data };
};

export const crossFlow = implement(described, {
  actions: { invokeFlow },
  triggers: { crossFlow: (_context, payload) => ({ payload }) },
});
