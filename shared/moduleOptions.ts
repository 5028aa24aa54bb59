/** What Node is started with where it loads our modules: see keepStripped.mjs. */
export const moduleOptions = [
  // It calls taking types away an experiment.
  "--disable-warning=ExperimentalWarning",
  "--import",
  new URL("./keepStripped.mjs", import.meta.url).href,
];
