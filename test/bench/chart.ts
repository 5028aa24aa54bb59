/** Charts as SVG text: bars with their spread, and lines over time. */

export interface Bar {
  label: string;
  value: number;
  least: number;
  most: number;
  /** What stands at the bar's end. */
  note: string;
  isOurs: boolean;
}

const width = 860;
const labelWidth = 270;
const noteWidth = 190;
const rowHeight = 30;
const top = 46;

export function barChart(title: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map((bar) => bar.most), 1e-9);
  const scale = (value: number): number => (value / most) * (width - labelWidth - noteWidth);
  const rows = bars.map((bar, index) => {
    const y = top + index * rowHeight;
    const middle = y + rowHeight / 2;
    const fill = bar.isOurs ? "#2563eb" : "#94a3b8";
    const [from, to] = [labelWidth + scale(bar.least), labelWidth + scale(bar.most)];
    return [
      text(labelWidth - 8, middle + 4, bar.label, "end"),
      `<rect x="${labelWidth}" y="${y + 5}" width="${scale(bar.value).toFixed(1)}" height="${rowHeight - 10}" fill="${fill}"/>`,
      `<path d="M${from.toFixed(1)} ${middle}H${to.toFixed(1)}" stroke="#0f172a" stroke-width="2"/>`,
      text(to + 8, middle + 4, bar.note, "start"),
    ].join("");
  });
  return svg(top + bars.length * rowHeight + 14, title, rows.join("\n"));
}

export interface Line {
  label: string;
  colour: string;
  points: { x: number; y: number }[];
}

const plotHeight = 300;
const [left, right] = [70, 20];

export function lineChart(title: string, lines: readonly Line[], axes: { x: string; y: string }): string {
  const all = lines.flatMap(({ points }) => points);
  const mostX = Math.max(...all.map(({ x }) => x), 1e-9);
  const mostY = Math.max(...all.map(({ y }) => y), 1e-9) * 1.1;
  const xOf = (x: number): string => (left + (x / mostX) * (width - left - right)).toFixed(1);
  const yOf = (y: number): string => (top + plotHeight - (y / mostY) * plotHeight).toFixed(1);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const y = yOf(mostY * part);
    return `<path d="M${left} ${y}H${width - right}" stroke="#e2e8f0"/>${text(left - 6, Number(y) + 4, (mostY * part).toFixed(0), "end")}`;
  });
  const drawn = lines.map(({ label, colour, points }, index) => {
    const path = points.map(({ x, y }, at) => `${at === 0 ? "M" : "L"}${xOf(x)} ${yOf(y)}`).join("");
    const legendX = left + index * 200;
    return (
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>` +
      `<rect x="${legendX}" y="${top + plotHeight + 34}" width="12" height="12" fill="${colour}"/>` +
      text(legendX + 18, top + plotHeight + 45, label, "start")
    );
  });
  const axis =
    text(left, top + plotHeight + 18, `0 to ${mostX.toFixed(0)} ${axes.x}`, "start") +
    text(left + 4, top - 6, axes.y, "start");
  return svg(top + plotHeight + 60, title, [...grid, axis, ...drawn].join("\n"));
}

const svg = (height: number, title: string, inside: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600">${escaped(title)}</text>
${inside}
</svg>
`;

const text = (x: number, y: number, content: string, anchor: "start" | "end"): string =>
  `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${escaped(content)}</text>`;

const escaped = (content: string): string =>
  content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
