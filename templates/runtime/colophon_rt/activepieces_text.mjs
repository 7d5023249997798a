// Regular expressions of the text helper: they are JavaScript's, so JavaScript runs them.

export function code({ action, text, expression, flags, replacement }) {
  const pattern = new RegExp(expression, flags);
  if (action === "find") return text.match(pattern);
  if (action === "find_all") return [...text.matchAll(pattern)].map((match) => match[0]);
  return text.replace(pattern, replacement);
}
