import { configPage, configVar } from "@prismatic-io/spectral";

export const configPages = {
  Stock: configPage({
    elements: {
      Warehouse: configVar({
        stableKey: "warehouse",
        dataType: "string",
        description: "The warehouse whose stock Acme's webhooks change",
        defaultValue: "Main warehouse",
      }),
    },
  }),
};

type Pages = typeof configPages;

declare module "@prismatic-io/spectral" {
  /** Gives `context.configVars` the names and types of the variables above. */
  interface IntegrationDefinitionConfigPages extends Pages {}
}
