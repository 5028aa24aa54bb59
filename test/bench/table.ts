/** Text tables: the first column to the left, the others to the right. */

export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((cells) => (cells[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n");
}

export const whole = (value: number): string => Math.round(value).toLocaleString("en");
export const ms = (us: number): string => `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`;
/** A share of no answers is none. */
export const eachUs = (us: number): string => (Number.isFinite(us) ? `${us.toFixed(1)} µs` : "–");
export const megabytes = (bytes: number): string => `${whole(bytes / 1024 / 1024)} MB`;
/** "–" for what was not measured. */
export const orDash = (value: number | null, show: (value: number) => string): string =>
  value === null ? "–" : show(value);
