/** What inputs have in common: ids, labels, and names that are taken. */
import { z } from "zod";
import { messageOf } from "../../shared/errors.ts";
import { idFromNodeId, isUuid, type NodeType } from "../../shared/ids.ts";
import { InputError } from "./payloads.ts";

/** The id inside a node id of this type, or null where it is not one. */
export const inputId = idFromNodeId;

/** The id inside an input's node id; throws an error of the field where it is not one of this type. */
export function requiredId(type: NodeType, nodeId: string, field: string): string {
  const id = idFromNodeId(type, nodeId);
  if (id === null || !isUuid(id)) throw new InputError(field, `"${nodeId}" is not the id of a ${type}.`);
  return id;
}

/** For an input that names something that is not there, or that the viewer may not see. */
export const notFound = (field: string, what: string): InputError =>
  new InputError(field, `There is no such ${what}.`);

const nameLengthMax = 200;
const textLengthMax = 10_000;
const labelsMax = 100;

export const nameCheck = z
  .string()
  .refine((name) => name.trim().length > 0, "This field may not be blank.")
  .refine((name) => name.length <= nameLengthMax, `At most ${nameLengthMax} characters.`);
export const textCheck = z.string().max(textLengthMax, `At most ${textLengthMax} characters.`);
export const labelsCheck = z
  .array(z.string().max(nameLengthMax, `At most ${nameLengthMax} characters a label.`).nullable())
  .max(labelsMax, `At most ${labelsMax} labels.`);

/** The labels without nulls, blanks and repetitions, as they are stored. */
export const labelsJson = (labels: readonly (string | null | undefined)[]): string =>
  JSON.stringify([...new Set(labels.map((label) => label?.trim()).filter((label) => label))]);

/** Whether a write failed because a row with the same unique value exists. */
export const isUniqueViolation = (error: unknown): boolean =>
  (error as { code?: string }).code === "SQLITE_CONSTRAINT_UNIQUE" ||
  /UNIQUE constraint/.test(messageOf(error));
