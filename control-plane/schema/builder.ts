/**
 * The one schema builder. Each noun's file registers its types and fields on it by being imported; `index.ts`
 * lists the nouns.
 */
import SchemaBuilder from "@pothos/core";
import ComplexityPlugin from "@pothos/plugin-complexity";
import DataloaderPlugin from "@pothos/plugin-dataloader";
import RelayPlugin from "@pothos/plugin-relay";
import ScopeAuthPlugin from "@pothos/plugin-scope-auth";
import ValidationPlugin from "@pothos/plugin-validation";
import { GraphQLError } from "graphql";
import { parseNodeId } from "../../shared/ids.ts";
import type { Context } from "../context.ts";
import { pageCountMax } from "./connections.ts";

export interface SchemaTypes {
  Context: Context;
  DefaultFieldNullability: false;
  AuthScopes: {
    /** The organization's admins: they change things. */
    admin: boolean;
    /** The organization's admins and members: they read everything. */
    organization: boolean;
    /** A customer's user: sees one customer only, which each resolver sees to. */
    customer: boolean;
    customerAdmin: boolean;
    /** Who may make, rotate and revoke keys: the organization's admins, and a customer's for its own instances. */
    keyManager: boolean;
    dataPlane: boolean;
    /** A user of the organization or of a customer. */
    signedIn: boolean;
  };
  Connection: {
    totalCount: number | (() => Promise<number>);
  };
  Scalars: {
    ID: { Input: string; Output: string };
    /** Out: a `Date`, or milliseconds since the epoch. */
    Date: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date | number };
    JSON: { Input: unknown; Output: unknown };
    /** JSON inside a string; in, it is the parsed value. */
    JSONString: { Input: unknown; Output: unknown };
    UUID: { Input: string; Output: string };
    ComponentDefinitionInput: { Input: object; Output: object };
    ActionDefinitionInput: { Input: object; Output: object };
    TriggerDefinitionInput: { Input: object; Output: object };
    DataSourceDefinitionInput: { Input: object; Output: object };
    ConnectionDefinitionInput: { Input: object; Output: object };
  };
}

/** What an operation may cost: about so many fields are resolved at most. */
const complexityMax = 200_000;
const depthMax = 16;
const breadthMax = 4_000;
/** Objects that a list without pages is taken to have. */
const listCountGuess = 10;

export const builder = new SchemaBuilder<SchemaTypes>({
  plugins: [ScopeAuthPlugin, RelayPlugin, ValidationPlugin, ComplexityPlugin, DataloaderPlugin],
  defaultFieldNullability: false,
  scopeAuth: {
    authScopes: ({ viewer }) => {
      const role = viewer?.role;
      const organization = role === "ADMIN" || role === "MEMBER";
      const customer = role === "CUSTOMER_ADMIN" || role === "CUSTOMER_MEMBER";
      return {
        admin: role === "ADMIN",
        organization,
        customer,
        customerAdmin: role === "CUSTOMER_ADMIN",
        keyManager: role === "ADMIN" || role === "CUSTOMER_ADMIN",
        dataPlane: role === "DATA_PLANE",
        signedIn: organization || customer,
      };
    },
    treatErrorsAsUnauthorized: false,
    unauthorizedError: (_parent, context, info) =>
      new GraphQLError(
        context.viewer === null
          ? "Sign in first: send a token in the Authorization header."
          : `You don't have permission to use ${info.parentType.name}.${info.fieldName}.`,
        { extensions: { code: context.viewer === null ? "UNAUTHENTICATED" : "FORBIDDEN" } },
      ),
  },
  complexity: {
    fieldComplexity,
    limit: { complexity: complexityMax, depth: depthMax, breadth: breadthMax },
  },
  relay: {
    clientMutationId: "optional",
    cursorType: "String",
    decodeGlobalID: (nodeId) => {
      const parsed = parseNodeId(nodeId);
      if (parsed === null) throw new GraphQLError(`"${nodeId}" is not the id of a node.`);
      return { typename: parsed.type, id: parsed.id };
    },
    idFieldOptions: { description: "The global id of the object." },
    nodeTypeOptions: { description: "An object with a global id." },
    nodeQueryOptions: {
      description: "The object with this global id, or null where there is none to see.",
      authScopes: { signedIn: true },
      args: { id: { description: "The object's global id." } },
    },
    nodesQueryOptions: {
      description: "The objects with these global ids, at most 100, null for each there is none to see.",
      authScopes: { signedIn: true },
      args: { ids: { description: "The objects' global ids." } },
      resolve: (_root, { ids }, _context, _info, resolveNodes) => {
        if (ids.length > 100) throw new GraphQLError("At most 100 ids can be asked for at once.");
        return resolveNodes(ids);
      },
    },
    pageInfoTypeOptions: { description: "Where a page of a connection stands." },
    mutationInputArgOptions: { description: "What the mutation is given." },
    clientMutationIdInputOptions: { description: "Any text; the payload echoes it." },
    clientMutationIdFieldOptions: { description: "The text that was sent as clientMutationId." },
    cursorFieldOptions: { description: "Where this edge stands: give it as `after` or `before`." },
    nodeFieldOptions: { description: "The object at the end of the edge." },
    edgesFieldOptions: { description: "The page's objects with their cursors." },
    nodesOnConnection: { description: "The page's objects." },
    pageInfoFieldOptions: { description: "Whether there is more, and where to go on." },
    hasNextPageFieldOptions: { description: "Whether there are more objects after this page." },
    hasPreviousPageFieldOptions: { description: "Whether there are more objects before this page." },
    startCursorFieldOptions: { description: "The cursor of the page's first object." },
    endCursorFieldOptions: { description: "The cursor of the page's last object." },
    beforeArgOptions: { description: "Only what stands before this cursor." },
    afterArgOptions: { description: "Only what stands after this cursor." },
    firstArgOptions: { description: "How many from the start, at most 100; 100 where it is left out." },
    lastArgOptions: { description: "How many from the end, at most 100." },
    defaultConnectionTypeOptions: { description: "A page of objects." },
    defaultEdgeTypeOptions: { description: "An object of a page with its cursor." },
    defaultPayloadTypeOptions: { description: "What a mutation answers." },
    defaultMutationInputTypeOptions: { description: "What a mutation is given." },
  },
});

builder.queryType({ description: "What can be read." });
builder.mutationType({ description: "What can be changed." });
builder.subscriptionType({ description: "What can be followed." });
builder.globalConnectionField("totalCount", (t) =>
  t.int({
    description: "How many objects there are on all pages together.",
    resolve: ({ totalCount }) => (typeof totalCount === "number" ? totalCount : totalCount()),
  }),
);

/**
 * What is below a connection counts once for each object of a full page, so that nested pages can't multiply
 * unseen; its `nodes` and `edges` are the same objects and do not count again.
 */
function fieldComplexity(
  args: Record<string, unknown>,
  _context: Context,
  field: { name: string; type: unknown; args: readonly { name: string }[] },
): { field: number; multiplier: number } {
  if (field.args.some((arg) => arg.name === "first")) {
    const count = Number(args["first"] ?? args["last"] ?? pageCountMax);
    return { field: 1, multiplier: Math.min(Math.max(count, 1), pageCountMax) };
  }
  const isOfPage = field.name === "nodes" || field.name === "edges";
  const isList = !isOfPage && String(field.type).startsWith("[");
  return { field: 1, multiplier: isList ? listCountGuess : 1 };
}
