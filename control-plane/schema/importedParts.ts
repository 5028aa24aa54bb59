/** What a definition takes over from the components that its connections and data sources are of. */
import type { Definition } from "../../shared/definition.ts";
import type {
  DeclaredConnection,
  DeclaredInput,
  RequiredConfigVar,
} from "../../shared/requiredConfigVars.ts";
import { builtInComponents } from "../store/builtInComponents.ts";
import type { ComponentParts } from "../store/componentParts.ts";
import { partsOf } from "../store/components.ts";
import type { ConfigTransaction } from "../store/store.ts";

const inputsMax = 200;
const defaultLengthMax = 10_000;

/** The definition's variables with what their connections declare, and a sentence for each that is not there. */
export async function declareParts(
  transaction: ConfigTransaction,
  { requiredConfigVars }: Definition,
  componentIds: ReadonlyMap<string, string>,
): Promise<{ requiredConfigVars: RequiredConfigVar[]; problems: string[] }> {
  const problems: string[] = [];
  const partsByKey = new Map<string, ComponentParts>();

  async function partsOfComponent(componentKey: string, isPublic: boolean): Promise<ComponentParts | null> {
    if (isPublic) return builtInComponents.find(({ key }) => key === componentKey)?.parts ?? null;
    const known = partsByKey.get(componentKey);
    if (known !== undefined) return known;
    const id = componentIds.get(componentKey);
    if (id === undefined) return null;
    const parts = await partsOf(transaction, { id, isBuiltIn: false });
    partsByKey.set(componentKey, parts);
    return parts;
  }

  const declared: RequiredConfigVar[] = [];
  for (const variable of requiredConfigVars) {
    const { key, connection, dataSource } = variable;
    let next = variable;
    if (connection !== undefined) {
      const parts = await partsOfComponent(connection.componentKey, connection.isPublic);
      const found = parts?.connections.find((candidate) => candidate.key === connection.key);
      if (found !== undefined) next = { ...variable, declared: declaredConnection(found) };
      // Of a component that is not here, the definition's own inputs have to say it all.
      else if (parts === null || connection.isPublic)
        next = { ...variable, declared: guessedConnection(variable) };
      else problems.push(missing(key, connection.componentKey, "connection", connection.key));
    }
    if (dataSource !== undefined) {
      const parts = await partsOfComponent(dataSource.componentKey, dataSource.isPublic);
      const isThere = parts?.dataSources.some((candidate) => candidate.key === dataSource.key);
      if (parts !== null && isThere !== true)
        problems.push(missing(key, dataSource.componentKey, "data source", dataSource.key));
    }
    declared.push(next);
  }
  return { requiredConfigVars: declared, problems };
}

const missing = (key: string, componentKey: string, kind: string, partKey: string): string =>
  `Config variable "${key}": component "${componentKey}" has no ${kind} "${partKey}".`;

function declaredConnection(part: ComponentParts["connections"][number]): DeclaredConnection {
  const { oauth2Type, oauth2PkceMethod, inputs } = part as Record<string, unknown>;
  const declared: DeclaredConnection = {
    inputs: (Array.isArray(inputs) ? inputs : []).slice(0, inputsMax).flatMap(declaredInput),
  };
  if (oauth2Type === "authorization_code" || oauth2Type === "client_credentials")
    declared.oauth2Type = oauth2Type;
  if (oauth2PkceMethod === "plain" || oauth2PkceMethod === "S256")
    declared.oauth2PkceMethod = oauth2PkceMethod;
  return declared;
}

function declaredInput(input: unknown): DeclaredInput[] {
  const { key, type, default: value, required } = (input ?? {}) as Record<string, unknown>;
  if (typeof key !== "string") return [];
  const declared: DeclaredInput = { key, type: typeof type === "string" ? type : "string" };
  if (["string", "number", "boolean"].includes(typeof value) && String(value).length <= defaultLengthMax) {
    declared.default = String(value);
  }
  if (required === true) declared.isRequired = true;
  return [declared];
}

/** The inputs that spectral asks of each kind of OAuth connection tell which one it is. */
function guessedConnection({ inputs }: RequiredConfigVar): DeclaredConnection {
  const has = (...names: string[]) => names.every((name) => name in inputs);
  if (has("authorizeUrl", "tokenUrl", "clientId")) return { oauth2Type: "authorization_code", inputs: [] };
  if (has("tokenUrl", "clientId", "clientSecret")) return { oauth2Type: "client_credentials", inputs: [] };
  return { inputs: [] };
}
