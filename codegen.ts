/** Types for every GraphQL operation of the data plane and of the scripts, from the control plane's schema. */
import type { CodegenConfig } from "@graphql-codegen/cli";

const operationsOf = (folder: string): CodegenConfig["generates"] => ({
  [`./${folder}/generated/`]: {
    documents: [`${folder}/**/*.ts`, `!${folder}/generated/**`],
    preset: "client",
    presetConfig: { fragmentMasking: false },
    config: {
      documentMode: "string",
      enumType: "string-literal",
      useTypeImports: true,
      defaultScalarType: "unknown",
      scalars: { DateTime: "string", JSON: "unknown", JSONString: "string", UUID: "string" },
    },
  },
});

const config: CodegenConfig = {
  schema: "./schema.graphql",
  importExtension: ".ts",
  generates: { ...operationsOf("data-plane"), ...operationsOf("shared/scripts") },
};

export default config;
