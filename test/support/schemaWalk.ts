/** Documents made from the schema itself: everything that can be read from a root field, some levels deep. */
import {
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
} from "graphql";

type Denied = ReadonlySet<string>;

/**
 * All fields of the type, and of the objects below it, as deep as said; a connection and its objects count as one
 * level. Fields that the caller was denied are left out: they would take what stands around them with them. Of an
 * object below one of its own type only its id is read: an execution has a dozen ways to others, and all their
 * fields together are more than one query may have.
 */
export function selectionOf(
  type: GraphQLNamedType,
  depth: number,
  denied: Denied,
  above: readonly string[] = [],
): string {
  if (!isObjectType(type)) return isLeafType(type) ? "" : "{ __typename }";
  if (above.includes(type.name) && "id" in type.getFields()) return "{ __typename id }";
  const fields = Object.values(type.getFields()).flatMap((field) => {
    if (denied.has(`${type.name}.${field.name}`)) return [];
    const isPage = field.args.some((arg) => arg.name === "first");
    if (!isPage && field.args.some(isRequiredArgument)) return [];
    const selected = selectionOfField(field, depth, denied, [...above, type.name]);
    return selected === null ? [] : [`${field.name}${isPage ? "(first: 5)" : ""}${selected}`];
  });
  return `{ __typename ${fields.join(" ")} }`;
}

/** What is selected below a field, with a space before it; null where that would be too deep. */
export function selectionOfField(
  field: GraphQLField<unknown, unknown>,
  depth: number,
  denied: Denied,
  above: readonly string[] = [],
): string | null {
  const type = getNamedType(field.type);
  if (isLeafType(type)) return "";
  if (depth <= 0) return null;
  const item = isObjectType(type) ? itemOfPage(type) : undefined;
  if (item === undefined) return ` ${selectionOf(type, depth - 1, denied, above)}`;
  const below = selectionOf(item, depth - 1, denied, above);
  return ` { totalCount pageInfo { startCursor endCursor hasNextPage } edges { cursor } nodes ${below} }`;
}

function itemOfPage(type: GraphQLObjectType): GraphQLNamedType | undefined {
  const nodes = type.getFields()["nodes"];
  return nodes !== undefined && "pageInfo" in type.getFields() ? getNamedType(nodes.type) : undefined;
}

/** A value for an input: `id` for every id, the text for every text. Optional parts only where they are ids. */
export function valueFor(type: GraphQLInputType, id: string, text: string): unknown {
  if (isNonNullType(type)) return valueFor(type.ofType, id, text);
  if (isListType(type)) return [valueFor(type.ofType, id, text)];
  if (isEnumType(type)) return type.getValues()[0]!.name;
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter(
      (field) => isRequiredInputField(field) || getNamedType(field.type).name === "ID",
    );
    return Object.fromEntries(fields.map((field) => [field.name, valueFor(field.type, id, text)]));
  }
  switch (type.name) {
    case "ID":
      return id;
    case "Int":
      return 3;
    case "Float":
      return 3;
    case "Boolean":
      return true;
    case "DateTime":
      return new Date(Date.now() + 3_600_000).toISOString();
    case "Date":
      return new Date().toISOString().slice(0, "2026-01-01".length);
    case "UUID":
      return "01890000-0000-7000-8000-000000000000";
    case "JSON":
      return {};
    case "String":
      return text;
    case "JSONString":
      return "[]";
    default:
      return { key: text, display: { label: text, description: text } };
  }
}

/** A root field with arguments as variables. */
export function rootDocument(
  schema: GraphQLSchema,
  operation: "query" | "mutation",
  name: string,
  args: Record<string, unknown>,
  depth: number,
  denied: Denied,
): { document: string; variables: Record<string, unknown> } {
  const root = operation === "query" ? schema.getQueryType()! : schema.getMutationType()!;
  const field = root.getFields()[name]!;
  const given = field.args.filter((arg) => arg.name in args);
  const declared = given.map((arg) => `$${arg.name}: ${String(arg.type)}`);
  const passed = given.map((arg) => `${arg.name}: $${arg.name}`);
  const inBrackets = (parts: string[]): string => (parts.length === 0 ? "" : `(${parts.join(", ")})`);
  const selection = selectionOfField(field, depth, denied) ?? "";
  return {
    document: `${operation} ${inBrackets(declared)} { ${name}${inBrackets(passed)}${selection} }`,
    variables: Object.fromEntries(given.map((arg) => [arg.name, args[arg.name]])),
  };
}
