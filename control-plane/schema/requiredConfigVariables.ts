/** What a version asks to be configured: its config variables and the pages that they stand on. */
import type { RequiredConfigVar } from "../../shared/requiredConfigVars.ts";
import { type Context, isOrganization } from "../context.ts";
import { readDefinition } from "../store/configuredVersions.ts";
import { usableDefault } from "../store/configVarTypes.ts";
import { builder } from "./builder.ts";
import { pageOfList } from "./connections.ts";
import { Integration, type IntegrationItem } from "./refs.ts";

export interface RequiredVariableItem {
  configured: IntegrationItem;
  variable: RequiredConfigVar;
}

/** Whether the viewer is shown what stands in a variable: some are not for customers. */
export const maySeeValue = (context: Context, { orgOnly, isVisibleToCustomer }: RequiredConfigVar): boolean =>
  isOrganization(context) || (!orgOnly && isVisibleToCustomer !== false);

interface RequiredInputItem {
  name: string;
  meta: Record<string, unknown> | null;
}

const RequiredInput = builder.objectRef<RequiredInputItem>("RequiredConfigVariableInput").implement({
  description: "An input field of a connection or data source, as the definition names it.",
  fields: (t) => ({
    name: t.exposeString("name", { description: "The field's name." }),
    meta: t.expose("meta", {
      type: "JSONString",
      nullable: true,
      description: "How the wizard shows the field; null where nothing is said of it.",
    }),
  }),
});

interface TemplateField {
  key: string;
  value: string;
}

const TemplateInputField = builder.objectRef<TemplateField>("ConnectionInputField").implement({
  description: "An input field of a kind of connection.",
  fields: (t) => ({ key: t.exposeString("key", { description: "The field's key." }) }),
});

const InputFieldTemplate = builder.objectRef<TemplateField>("ConnectionInputFieldTemplate").implement({
  description: "What a connection template says of one input field.",
  fields: (t) => ({
    inputField: t.field({
      type: TemplateInputField,
      description: "The field.",
      resolve: (field) => field,
    }),
    value: t.exposeString("value", { description: "The field's value." }),
  }),
});

const ConnectionTemplate = builder.objectRef<TemplateField[]>("ConnectionTemplate").implement({
  description: "Values that a connection's input fields start from.",
  fields: (t) => ({
    inputFieldTemplates: t.connection(
      {
        type: InputFieldTemplate,
        description: "The fields that the template names.",
        resolve: (fields, args) => pageOfList(fields, args),
      },
      { name: "ConnectionInputFieldTemplateConnection", description: "A page of templates of input fields." },
      {
        name: "ConnectionInputFieldTemplateEdge",
        description: "A template of an input field with its cursor.",
      },
    ),
  }),
});

export const RequiredConfigVariable = builder
  .objectRef<RequiredVariableItem>("RequiredConfigVariable")
  .implement({
    description: "A config variable that a version asks for.",
    fields: (t) => ({
      id: t.globalID({
        description: "The global id of the object.",
        resolve: ({ configured, variable }) => ({
          id: `${configured.version?.id ?? configured.integration.id}/${variable.key}`,
          type: "RequiredConfigVariable",
        }),
      }),
      key: t.string({ description: "The variable's key.", resolve: ({ variable }) => variable.key }),
      stableKey: t.string({
        description: "What stays the same when the key changes.",
        resolve: ({ variable }) => variable.stableKey,
      }),
      description: t.string({
        description: "What the variable is for.",
        resolve: ({ variable }) => variable.description,
      }),
      defaultValue: t.string({
        nullable: true,
        description: "The value where none is given; null also where the viewer may not see it.",
        resolve: ({ variable }, _args, context) =>
          maySeeValue(context, variable) ? usableDefault(variable) : null,
      }),
      dataType: t.string({
        description: "The variable's type in upper case, such as STRING or CONNECTION.",
        resolve: ({ variable }) => variable.dataType.toUpperCase(),
      }),
      collectionType: t.string({
        nullable: true,
        description: "valuelist or keyvaluelist, where the variable has many values.",
        resolve: ({ variable }) => variable.collectionType,
      }),
      pickList: t.stringList({
        nullable: true,
        description: "The values to choose from.",
        resolve: ({ variable }) => variable.pickList,
      }),
      scheduleType: t.string({
        nullable: true,
        description: "Of a schedule: how it repeats where the instance says nothing.",
        resolve: ({ variable }) => variable.scheduleType ?? null,
      }),
      timeZone: t.string({
        nullable: true,
        description: "Of a schedule: its time zone where the instance says nothing.",
        resolve: ({ variable }) => variable.timeZone ?? null,
      }),
      codeLanguage: t.string({
        nullable: true,
        description: "Of code: json, xml or html.",
        resolve: ({ variable }) => variable.codeLanguage ?? null,
      }),
      orgOnly: t.boolean({
        description: "Whether only the organization sees and sets the value.",
        resolve: ({ variable }) => variable.orgOnly,
      }),
      userLevelConfigured: t.boolean({
        description: "Whether each user of the customer sets a value of their own.",
        resolve: ({ variable }) => variable.isUserLevel === true,
      }),
      hasDataSource: t.boolean({
        description: "Whether a data source gives what to choose from.",
        resolve: ({ variable }) => variable.dataSource !== undefined,
      }),
      oauth2Type: t.string({
        nullable: true,
        description: "Of an OAuth 2.0 connection: authorization_code or client_credentials.",
        resolve: ({ variable }) => variable.declared?.oauth2Type ?? null,
      }),
      inputs: t.connection(
        {
          type: RequiredInput,
          description: "The input fields that the definition names.",
          resolve: ({ variable }, args) =>
            pageOfList(
              Object.keys(variable.inputs).map((name) => ({
                name,
                meta: variable.inputMeta?.[name] ?? null,
              })),
              args,
            ),
        },
        { name: "RequiredConfigVariableInputConnection", description: "A page of input fields." },
        { name: "RequiredConfigVariableInputEdge", description: "An input field with its cursor." },
      ),
      connectionTemplate: t.field({
        type: ConnectionTemplate,
        nullable: true,
        description: "The template of a connection's fields; always null, as there are no templates.",
        resolve: () => null,
      }),
      meta: t.field({
        type: "JSONString",
        nullable: true,
        description: "How the wizard shows the variable; null where nothing is said of it.",
        resolve: ({ variable }) => variable.meta ?? null,
      }),
    }),
  });

builder.objectFields(Integration, (integration) => ({
  configPages: integration.field({
    type: "JSONString",
    nullable: true,
    description:
      "The pages of the wizard in order: {name, tagline, userLevelConfigured, elements: [{type, value}]}; null where there is no definition yet.",
    resolve: async (item, _args, { store }) => {
      const digest = digestOf(item);
      return digest === null ? null : ((await readDefinition(store.config, digest)).configPages ?? []);
    },
  }),
  requiredConfigVariables: integration.connection(
    {
      type: RequiredConfigVariable,
      description: "The config variables that the version asks for, in its order.",
      resolve: async (item, args, { store }) => {
        const digest = digestOf(item);
        const definition = digest === null ? null : await readDefinition(store.config, digest);
        const variables = definition?.requiredConfigVars ?? [];
        return pageOfList(
          variables.map((variable) => ({ configured: item, variable })),
          args,
        );
      },
    },
    { name: "RequiredConfigVariableConnection", description: "A page of config variables of a version." },
    { name: "RequiredConfigVariableEdge", description: "A config variable of a version with its cursor." },
  ),
}));

const digestOf = ({ integration, version }: IntegrationItem): string | null =>
  version?.definitionDigest ?? integration.draftDigest;
