// Runs a function that a module exports: {source, export, input} on standard input, {output} or {error}
// on standard output. What the code logs goes to standard error.

const answer = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

function finish(result) {
  answer(JSON.stringify(result), () => process.exit(0));
}

async function main() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { source, export: name, input } = JSON.parse(Buffer.concat(chunks).toString());
  const encoded = Buffer.from(source).toString("base64");
  const code = (await import(`data:text/javascript;base64,${encoded}`))[name];
  if (typeof code !== "function") throw new Error(`the source exports no function \`${name}\``);
  return { output: await code(input) };
}

main()
  .then(finish)
  .catch((error) => finish({ error: String(error?.message ?? error).slice(0, 10000) }));
