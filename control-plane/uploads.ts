/**
 * Files that come in by PUT to a signed address: component packages and icons; and files that go out by GET:
 * bundles to data planes, icons to anyone. Files lie in the data folder, named by what they are.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isUuid } from "../shared/ids.ts";
import { readSignedPath, signPath } from "../shared/signedPaths.ts";
import { PackageError, unzip } from "../shared/unzip.ts";
import type { Services } from "./context.ts";
import { acceptPackage, componentById, refusePackage, setIcon } from "./store/components.ts";

export type Upload =
  | { kind: "package"; componentId: string }
  /** An icon, served at `/media/<mediaId>` from then on. */
  | { kind: "icon"; mediaId: string; componentId?: string }
  /** Taken and thrown away: sources, and icons of connections, which nothing here shows. */
  | { kind: "unused" };

const purpose = "upload";
const uploadLifetimeMs = 60 * 60_000;
const iconBytesMax = 5 * 1024 * 1024;
const packageFilesMax = 5000;
/** How much larger than the package its files together may be. */
const unpackedFactorMax = 4;
const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** The address to which one file may be put, for an hour. */
export function uploadUrl({ store, urls }: Pick<Services, "store" | "urls">, upload: Upload): string {
  return urls.control(
    `/uploads/${signPath(store.pepper, purpose, JSON.stringify(upload), uploadLifetimeMs)}`,
  );
}

export const bundleFile = (dataDir: string, digest: string): string =>
  join(dataDir, "control", "bundles", `${digest}.zip`);

/** Answers `PUT /uploads/<signed>`. */
export async function handleUpload(
  services: Services,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "PUT") return refuse(response, 405, "Put the file here with PUT.");
  const subject = readSignedPath(services.store.pepper, purpose, pathOf(request).slice("/uploads/".length));
  if (subject === null) return refuse(response, 403, "This upload address is not valid any more.");
  const upload = JSON.parse(subject) as Upload;
  const bytesMax = upload.kind === "package" ? services.config.bundleBytesMax : iconBytesMax;
  const folder = join(services.config.dataDir, "control", "incoming");
  await mkdir(folder, { recursive: true });
  const file = join(folder, randomUUID());
  try {
    const received = await receive(request, file, bytesMax);
    switch (upload.kind) {
      case "package":
        await takePackage(services, upload.componentId, file, received);
        break;
      case "icon":
        await takeIcon(services, upload, file, received);
        break;
      case "unused":
        break;
    }
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  } catch (error) {
    if (!(error instanceof UploadError)) throw error;
    if (upload.kind === "package") {
      services.log.warn({ componentId: upload.componentId, reason: error.message }, "a package was refused");
      await refusePackage(services.store.config, upload.componentId, error.message);
    }
    refuse(response, error.status, error.message);
  } finally {
    await rm(file, { force: true });
  }
}

/** Answers `GET /bundles/<sha256>`; the caller has seen to it that a data plane is asking. */
export async function handleBundle(
  { config }: Services,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const digest = pathOf(request).slice("/bundles/".length);
  if (!/^[0-9a-f]{64}$/.test(digest)) return refuse(response, 404, "There is no such bundle.");
  await sendFile(response, bundleFile(config.dataDir, digest), {
    "content-type": "application/zip",
    "cache-control": "private, max-age=31536000, immutable",
  });
}

/** Answers `GET /media/<id>`. */
export async function handleMedia(
  { config }: Services,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const id = pathOf(request).slice("/media/".length);
  if (!isUuid(id)) return refuse(response, 404, "There is no such file.");
  await sendFile(response, mediaFile(config.dataDir, id), {
    "content-type": "image/png",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'",
  });
}

class UploadError extends Error {
  override name = "UploadError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Received {
  bytes: number;
  sha1: string;
  sha256: string;
  head: Buffer;
}

async function receive(request: IncomingMessage, file: string, bytesMax: number): Promise<Received> {
  const tooLarge = new UploadError(413, `The file is larger than ${bytesMax} bytes.`);
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge;
  const sha1 = createHash("sha1");
  const sha256 = createHash("sha256");
  let bytes = 0;
  let head = Buffer.alloc(0);
  const measured = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > bytesMax) return done(tooLarge);
      sha1.update(chunk);
      sha256.update(chunk);
      if (head.length < pngSignature.length) head = Buffer.concat([head, chunk.subarray(0, 8)]);
      done(null, chunk);
    },
  });
  await pipeline(request, measured, createWriteStream(file, { flags: "wx", mode: 0o600, flush: true }));
  return { bytes, sha1: sha1.digest("hex"), sha256: sha256.digest("hex"), head };
}

/** Checks the package, puts it in its place by digest, and makes its component ready. */
async function takePackage(
  { store, config }: Services,
  componentId: string,
  file: string,
  received: Received,
): Promise<void> {
  const component = await componentById(store.config, componentId);
  if (component === null) throw new UploadError(404, "The component was deleted meanwhile.");
  if (component.status === "READY") {
    // The same bytes again are a client's retry; others would change what a version runs on.
    if (component.digest === received.sha256) return;
    throw new UploadError(409, "This component has its package already. Publish it again for another.");
  }
  try {
    const files = await unzip(file, null, {
      bytesMax: config.bundleBytesMax * unpackedFactorMax,
      filesMax: packageFilesMax,
    });
    if (!files.includes("index.js"))
      throw new PackageError("The package has no index.js at its root, so there is nothing to run.");
  } catch (error) {
    if (error instanceof PackageError) throw new UploadError(400, error.message);
    throw error;
  }
  const target = bundleFile(config.dataDir, received.sha256);
  await mkdir(join(target, ".."), { recursive: true });
  await rename(file, target);
  await syncFolder(join(target, ".."));
  await acceptPackage(store.config, componentId, { signature: received.sha1, digest: received.sha256 });
}

async function takeIcon(
  { store, config, urls }: Services,
  upload: Extract<Upload, { kind: "icon" }>,
  file: string,
  received: Received,
): Promise<void> {
  if (!received.head.subarray(0, 8).equals(pngSignature))
    throw new UploadError(400, "An icon must be a PNG file.");
  const target = mediaFile(config.dataDir, upload.mediaId);
  await mkdir(join(target, ".."), { recursive: true });
  await rename(file, target);
  if (upload.componentId !== undefined) {
    await setIcon(store.config, upload.componentId, urls.control(`/media/${upload.mediaId}`));
  }
}

const mediaFile = (dataDir: string, id: string): string => join(dataDir, "control", "media", `${id}.png`);

/** A rename is durable once its folder is synced. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function sendFile(
  response: ServerResponse,
  file: string,
  headers: Record<string, string>,
): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found === null) return refuse(response, 404, "There is no such file.");
  response.writeHead(200, { ...headers, "content-length": found.size });
  await pipeline(createReadStream(file), response);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response
    .writeHead(status, { "content-type": "application/json", connection: "close" })
    .end(JSON.stringify({ error: { message } }));
}

const pathOf = (request: IncomingMessage): string => (request.url ?? "/").split("?", 1)[0] ?? "/";
