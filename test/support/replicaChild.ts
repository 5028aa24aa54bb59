/**
 * A process that the replica's tests kill: `snapshot` begins one and adds pages until it is killed, `migrate`
 * changes the file's tables in a migration that does not end. Prints a line when it is at work.
 */
import { openForWriting, replicaMigrations } from "../../data-plane/replica/file.ts";
import { openReplicaWriter } from "../../data-plane/replica/writer.ts";
import { snapshotPages } from "./syntheticFeed.ts";

const [mode, folderOrFile] = process.argv.slice(2);

if (mode === "snapshot") {
  const writer = openReplicaWriter({ folder: folderOrFile!, warn: console.error });
  const snapshot = writer.beginSnapshot();
  for (const page of snapshotPages(1_000_000)) {
    snapshot.add(page);
    console.log("added");
  }
} else {
  console.log("migrating");
  openForWriting(folderOrFile!, [
    ...replicaMigrations,
    `ALTER TABLE position ADD COLUMN note TEXT;
     UPDATE position SET epoch = 'halfway';
     WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 10000000000)
     INSERT INTO masterKeys SELECT 'k' || max(number) FROM numbers;`,
  ]);
}
