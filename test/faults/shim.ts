/** The LD_PRELOAD shim as a test uses it: built with the machine's compiler, switched while a plane runs. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";

export interface Faults {
  /** For the environment of the process that the faults are for. */
  environment: Record<string, string>;
  /** What is wrong from now on; what is left out is well. */
  set(faults: FaultSet): void;
  /** How many calls were made to fail so far. */
  failed(): number;
}

type ErrorName = "ENOSPC" | "EIO" | "EROFS";

export interface FaultSet {
  /** Of every write below the folder. */
  write?: ErrorName;
  /** Of fsync, fdatasync, and writes to files opened with O_DSYNC. */
  sync?: ErrorName;
  /** Of opening files for writing, renaming and removing them. */
  names?: ErrorName;
  /** Of the whole process; negative is behind. */
  clockAheadSeconds?: number;
  /** Of the calls that are to fail one in so many does. */
  oneIn?: number;
}

const controlBytes = 32;
const failedAt = 12;
const clockAt = 16;
const oneInAt = 24;
const compilers = ["cc", "gcc", "g++"];

/** Builds the shim into `folder`; null where it can't be built or loaded here. */
export function buildShim(folder: string): string | null {
  if (process.platform !== "linux") return null;
  const file = join(folder, "shim.so");
  const source = join(import.meta.dirname, "shim.c");
  const isBuilt = compilers.some(
    (compiler) =>
      spawnSync(compiler, ["-x", "c", "-O2", "-fPIC", "-shared", "-o", file, source, "-ldl"]).status === 0,
  );
  // A Node that is linked statically, or for another libc, does not take it.
  const loaded = isBuilt && spawnSync(process.execPath, ["-v"], { env: { LD_PRELOAD: file } });
  return loaded && loaded.status === 0 && loaded.stderr.length === 0 ? file : null;
}

/** Faults below `watched`, which are switched through a file in `folder`. */
export function newFaults(shim: string, folder: string, watched: string): Faults {
  const control = join(folder, "faults");
  writeFileSync(control, Buffer.alloc(controlBytes));
  return {
    environment: {
      LD_PRELOAD: shim,
      FAULT_FOLDER: watched,
      FAULT_CONTROL: control,
      // Else libuv may hand its writes to the kernel without a call that the shim sees.
      UV_USE_IO_URING: "0",
    },
    set(faults) {
      const errors = Buffer.alloc(failedAt);
      for (const [index, name] of [faults.write, faults.sync, faults.names].entries())
        errors.writeInt32LE(name === undefined ? 0 : constants.errno[name], index * 4);
      const clock = Buffer.alloc(8);
      clock.writeBigInt64LE(BigInt(faults.clockAheadSeconds ?? 0));
      const oneIn = Buffer.alloc(4);
      oneIn.writeInt32LE(faults.oneIn ?? 0);
      // In place: the processes have the file mapped.
      const descriptor = openSync(control, "r+");
      writeSync(descriptor, oneIn, 0, oneIn.length, oneInAt);
      writeSync(descriptor, errors, 0, errors.length, 0);
      writeSync(descriptor, clock, 0, clock.length, clockAt);
      closeSync(descriptor);
    },
    failed: () => readFileSync(control).readInt32LE(failedAt),
  };
}
