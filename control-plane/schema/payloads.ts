/**
 * Mutations: verb-first, one `input` that echoes clientMutationId, and a payload `{ <object>, errors }`.
 * What can go wrong in the caller's hands is thrown as `InputError` and becomes the payload's `errors`.
 */
import type {
  InputFieldBuilder,
  InputFieldMap,
  InputShapeFromFields,
  ObjectFieldBuilder,
  ObjectFieldsShape,
} from "@pothos/core";
import type { AuthScopeMap } from "@pothos/plugin-scope-auth";
import type { z } from "zod";
import type { Context } from "../context.ts";
import { builder } from "./builder.ts";

type Types = typeof builder.$inferSchemaTypes;

export interface FieldError {
  field: string;
  messages: string[];
}

/** The field that stands for the whole input. */
export const wholeInput = "__all__";

/** Thrown in a mutation, also inside its transaction: nothing is changed, and the payload says why. */
export class InputError extends Error {
  override name = "InputError";
  readonly errors: FieldError[];

  constructor(field: string, messages: string | string[]) {
    const list = [messages].flat();
    super(list.join(" "));
    this.errors = [{ field, messages: list }];
  }
}

export const FieldErrorType = builder.objectRef<FieldError>("ErrorType").implement({
  description: "Something in the input that kept a mutation from being done.",
  fields: (t) => ({
    field: t.exposeString("field", {
      description: `The input field, in lower camel case, or "${wholeInput}" for the whole.`,
    }),
    messages: t.exposeStringList("messages", { description: "What is wrong, a sentence each." }),
  }),
});

/** The payload's own fields may be missing: they are null where there are errors. */
type PayloadShape<Result> = Partial<Result> & { errors: FieldError[] };

export interface MutationOptions<Fields extends InputFieldMap, Result extends object> {
  description: string;
  authScopes: AuthScopeMap<Types>;
  input: (t: InputFieldBuilder<Types, "InputObject">) => Fields;
  /** Checks on the input's values: each issue becomes an error of its field. */
  check?: z.ZodType;
  resolve: (input: InputShapeFromFields<Fields>, context: Context) => Promise<Result>;
  /** The payload's fields beside `errors`; all nullable, as they are missing where there are errors. */
  output: (
    t: ObjectFieldBuilder<Types, PayloadShape<Result>>,
  ) => ReturnType<ObjectFieldsShape<Types, PayloadShape<Result>>>;
}

export function mutation<Fields extends InputFieldMap, Result extends object>(
  name: string,
  { description, authScopes, input, check, resolve, output }: MutationOptions<Fields, Result>,
): void {
  type Payload = PayloadShape<Result>;
  const answer = async (given: InputShapeFromFields<Fields>, context: Context): Promise<Payload> => {
    try {
      if (check !== undefined) checkInput(check, given);
      // A result may bring errors of its own: those of the parts that were not done.
      return { errors: [], ...(await resolve(given, context)) };
    } catch (error) {
      if (error instanceof InputError) return { errors: error.errors } as Payload;
      throw error;
    }
  };
  builder.relayMutationField(
    name,
    { description: `What ${name} is given.`, inputFields: input as (t: unknown) => InputFieldMap },
    {
      description,
      authScopes,
      resolve: (_root, args, context) => {
        const { input } = args as { input: InputShapeFromFields<Fields> };
        return context.audit.mutation(name, input, context, (audited) =>
          answer(input, audited),
        ) as Promise<object>;
      },
      unauthorizedResolver: async (_root, args, context, _info, error) => {
        await context.audit.denied(name, (args as { input?: unknown }).input, context);
        throw error;
      },
    },
    {
      description: `What ${name} answers.`,
      outputFields: (t) => ({
        ...output(t as unknown as ObjectFieldBuilder<Types, Payload>),
        errors: t.field({
          type: [FieldErrorType],
          description: "Why it was not done; empty where it was.",
          resolve: (payload) => (payload as Payload).errors,
        }),
      }),
    },
  );
}

function checkInput(check: z.ZodType, input: unknown): void {
  const checked = check.safeParse(input);
  if (checked.success) return;
  const byField = Map.groupBy(checked.error.issues, (issue) => String(issue.path[0] ?? wholeInput));
  const errors = [...byField].map(([field, issues]) => ({
    field,
    messages: issues.map((issue) => issue.message),
  }));
  throw Object.assign(new InputError(wholeInput, "The input is not valid."), { errors });
}
