/** Icons of integrations and of the organization. */
import { newId } from "../../shared/ids.ts";
import { uploadUrl } from "../uploads.ts";
import { builder } from "./builder.ts";
import { MediaType } from "./scalars.ts";

interface MediaUpload {
  uploadUrl: string | null;
  objectUrl: string | null;
  error: string | null;
}

const UploadMediaResult = builder.objectRef<MediaUpload>("UploadMediaResult").implement({
  description: "Where a file is put, and where it is found then.",
  fields: (t) => ({
    uploadUrl: t.exposeString("uploadUrl", {
      nullable: true,
      description: "Put the file here, within an hour.",
    }),
    objectUrl: t.exposeString("objectUrl", { nullable: true, description: "Where the file will be." }),
    error: t.exposeString("error", { nullable: true, description: "Why the file can't be taken." }),
  }),
});

builder.queryField("uploadMedia", (t) =>
  t.field({
    type: UploadMediaResult,
    description: "An address to put an icon to: a PNG file of 5 MB at most.",
    authScopes: { admin: true },
    args: {
      objectId: t.arg.id({ required: true, description: "What the file is for." }),
      fileName: t.arg.string({ required: true, description: "The file's name." }),
      mediaType: t.arg({ type: MediaType, required: true, description: "What kind of file it is." }),
    },
    resolve: (_root, { fileName }, context): MediaUpload => {
      if (!/\.png$/i.test(fileName)) {
        return { uploadUrl: null, objectUrl: null, error: "An icon must be a PNG file." };
      }
      const mediaId = newId();
      return {
        uploadUrl: uploadUrl(context, { kind: "icon", mediaId }),
        objectUrl: context.urls.control(`/media/${mediaId}`),
        error: null,
      };
    },
  }),
);
