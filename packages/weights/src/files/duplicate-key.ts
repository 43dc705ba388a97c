/**
 * First key that one object of a JSON text names twice, with the keys of the objects around it, or undefined. `JSON.parse` keeps the last of
 * two silently. The text must have passed `JSON.parse` before: this scan checks no syntax. No recursion, so depth cannot exhaust the stack.
 */
export function duplicateKey(text: string): string | undefined {
  /** Open objects with their keys so far and the one being read; null for an open array. */
  const open: ({ readonly keys: Set<string>; key: string } | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{') open.push({ keys: new Set(), key: '' });
    else if (character === '[') open.push(null);
    else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const end = closingQuote(text, at);
      const object = open.at(-1);
      if (object && text[nextCharacter(text, end + 1)] === ':') {
        object.key = String(JSON.parse(text.slice(at, end + 1)));
        if (object.keys.has(object.key)) return open.flatMap((each) => each?.key ?? []).join('.');
        object.keys.add(object.key);
      }
      at = end;
    }
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
