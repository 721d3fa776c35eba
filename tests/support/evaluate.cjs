// Evaluates flag documents with flagd's own JavaScript core. Reads a table from stdin, writes answers to stdout:
// [{document, keys: {key: [type, default]}, contexts: [{…}]}] → [{valid, answers: [{key: value}]}].
// `valid` is the verdict of flagd's published JSON schema, which this package carries compiled.
const { FlagdCore, MemoryStorage } = require("@openfeature/flagd-core");

const silent = { error() {}, warn() {}, info() {}, debug() {} };
const resolve = {
  string: (core, ...rest) => core.resolveStringEvaluation(...rest),
  boolean: (core, ...rest) => core.resolveBooleanEvaluation(...rest),
  object: (core, ...rest) => core.resolveObjectEvaluation(...rest),
};

function evaluate({ document, keys, contexts }) {
  const storage = new MemoryStorage(silent);
  try {
    storage.setConfigurations(document, true);
  } catch (error) {
    return { valid: false, why: String(error.message), answers: [] };
  }
  const core = new FlagdCore(storage, silent);
  const answers = contexts.map((context) =>
    Object.fromEntries(
      Object.entries(keys).map(([key, [type, fallback]]) => [
        key,
        resolve[type](core, key, fallback, context, silent).value,
      ]),
    ),
  );
  return { valid: true, answers };
}

const chunks = [];
process.stdin.on("data", (chunk) => chunks.push(chunk));
process.stdin.on("end", () => {
  const cases = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  process.stdout.write(JSON.stringify(cases.map(evaluate)));
});
