import { type BuiltInAction, type BuiltInInput, describeBuiltIn } from "./description.ts";

const listInput = { label: "List", type: "data", required: true } as const satisfies BuiltInInput;
const element = { label: "Element", type: "data" } as const satisfies BuiltInInput;
const numberInput = {
  label: "Number of Elements",
  type: "string",
  default: "1",
} as const satisfies BuiltInInput;
const filterFunction = {
  label: "Filter Function",
  type: "code",
  default: "(item, index) => { return true; }",
  comments: "Elements for which it gives something else than true are left out.",
} as const satisfies BuiltInInput;

const ofList = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: { listInput },
});
const ofElement = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: { listInput, element },
});
const ofNumber = (label: string, description: string): BuiltInAction => ({
  label,
  description,
  inputs: { listInput, numberInput },
});

export const collectionTools = describeBuiltIn({
  key: "collection-tools",
  label: "Collection Tools",
  description: "Makes, takes apart and goes over lists and objects.",
  category: "Helpers",
  actions: {
    first: ofList("First", "The first element; nothing where there is none."),
    last: ofList("Last", "The last element; nothing where there is none."),
    length: ofList("Length", "How many elements the list has."),
    flatten: ofList("Flatten", "One list of the elements of lists."),
    deduplicate: ofList("De-duplicate", "The list with each of equal elements once."),
    append: ofElement("Append", "The list with an element more."),
    remove: ofElement("Remove", "The list without all elements that equal one."),
    count: ofElement("Count", "How many elements equal one."),
    takeFirst: ofNumber("Take First", "The first elements."),
    takeLast: ofNumber("Take Last", "The last elements."),
    chunks: ofNumber("Chunks", "Lists of so many elements each."),
    concatenate: {
      label: "Concatenate",
      description: "One list of two.",
      inputs: { listInput, secondListInput: { ...listInput, label: "Second List" } },
    },
    selectItemFromList: {
      label: "Select Item From List by Index",
      description: "An element by its place; negative ones count from the end.",
      inputs: { listInput, index: { label: "Index", type: "string", required: true } },
    },
    filter: {
      label: "Filter",
      description: "The elements that a function lets through.",
      inputs: { listInput, filterFunction },
    },
    map: {
      label: "Map",
      description: "What a function makes of each element.",
      inputs: {
        listInput,
        mapFunction: {
          label: "Transform Function",
          type: "code",
          default: "(item, index) => { return item; }",
        },
        filterFunction,
        contextData: { label: "Context Data", type: "data", comments: "The functions' third argument." },
      },
    },
    sort: {
      label: "Sort",
      description: "The elements in the order that a function gives.",
      inputs: {
        listInput,
        sortFunction: { label: "Sort Comparison Function", type: "code", required: true },
      },
    },
    aggregate: {
      label: "Aggregate",
      description: "One number of the elements.",
      inputs: {
        listInput,
        aggregateFunction: {
          label: "Aggregate Function",
          type: "string",
          required: true,
          choices: ["AVERAGE", "COUNT", "MAX", "MIN", "SUM", "PRODUCT", "MEDIAN"],
        },
        filterFunction,
      },
    },
    create: {
      label: "Create List",
      description: "A list of what is given.",
      inputs: { items: { label: "List Items", type: "data", collection: "valuelist" } },
    },
    createObject: {
      label: "Create Object",
      description: "An object of keys and values.",
      inputs: {
        keyValueInput: { label: "Key & Value Pairs", type: "data", collection: "keyvaluelist" },
      },
    },
    addKey: {
      label: "Add Key/Value to Object",
      description: "The object with a member more.",
      inputs: {
        object: { label: "Object", type: "data", required: true },
        key: { label: "Key", type: "string", required: true },
        value: { label: "Value", type: "data" },
        objectPath: {
          label: "Insert Path",
          type: "string",
          comments: "Keys with dots between them; objects that are not there are made.",
        },
      },
    },
    toObject: {
      label: "Key Value Pair List to Object",
      description: "The object that a list of keys and values stands for.",
      inputs: { keyValueList: { label: "Key/Value List", type: "data", required: true } },
    },
    fromObject: {
      label: "Object to Key Value Pair List",
      description: "The list of an object's keys and values.",
      inputs: { object: { label: "Object", type: "data", required: true } },
    },
  },
  triggers: {},
});
