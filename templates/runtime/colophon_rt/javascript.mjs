// Runs the function that a module exports by default: its input as JSON on standard input, {output} or
// {error} on standard output. What the code logs goes to standard error.
import { pathToFileURL } from "node:url";

const answer = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

function finish(result) {
  answer(JSON.stringify(result), () => process.exit(0));
}

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const input = JSON.parse(Buffer.concat(chunks).toString());
  const { default: code } = await import(pathToFileURL(process.argv[2]).href);
  if (typeof code !== "function") throw new Error("the source exports no function by default");
  return { output: await code(input) };
}

main()
  .then(finish)
  .catch((error) => finish({ error: String(error?.message ?? error).slice(0, 10000) }));
