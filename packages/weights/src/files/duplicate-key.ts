/**
 * First key that one object of a JSON text names twice, with the keys of the objects around it, or undefined. `JSON.parse` keeps the last of
 * two silently. The text must have passed `JSON.parse` before: this scan checks no syntax. No recursion, so depth cannot exhaust the stack.
 */
export function duplicateKey(text: string): string | undefined {
  /** Keys seen per open object; null for an open array. */
  const open: (Set<string> | null)[] = [];
  const path: string[] = [];
  let at = 0;
  while (at < text.length) {
    const character = text[at];
    if (character === '{') open.push(new Set());
    else if (character === '[') open.push(null);
    else if (character === '}' || character === ']') {
      open.pop();
      path.length = Math.min(path.length, open.length);
    } else if (character === '"') {
      const end = closingQuote(text, at);
      const keys = open.at(-1);
      if (keys && text[nextCharacter(text, end + 1)] === ':') {
        const key: unknown = JSON.parse(text.slice(at, end + 1));
        path.length = Math.min(path.length, open.length - 1);
        if (typeof key === 'string') {
          if (keys.has(key)) return [...path, key].join('.');
          keys.add(key);
          path.push(key);
        }
      }
      at = end;
    }
    at++;
  }
  return undefined;
}

function closingQuote(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

function nextCharacter(text: string, start: number): number {
  let at = start;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return at;
}
