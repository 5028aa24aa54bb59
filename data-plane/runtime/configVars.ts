/** The config variables of a run that is bound to no customer: an object that refuses to be read. */

/** Keys that are looked up by the language and by libraries, not by somebody who wants a config variable. */
const lookedUpByOthers = new Set(["toJSON", "then", "constructor", "nodeType", "asymmetricMatch", "inspect"]);

/** Reading a variable throws; listing, spreading and JSON find nothing, so that passing it around is harmless. */
export function refusingConfigVars(): Record<string, unknown> {
  return new Proxy({} as Record<string, unknown>, {
    get(_target, key) {
      if (typeof key === "symbol" || lookedUpByOthers.has(key)) return undefined;
      throw new Error(
        `The config variable "${key.slice(0, 100)}" can't be read here: the preprocess flow of a shared endpoint runs before the customer is known.`,
      );
    },
  });
}
