/** A token that is found in the text before anything else looks at it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** What is searched for: `content`, or its normalized form. */
  readonly match: string;
  /** Searched in the text as given, or in the normalized text between the first kind. */
  readonly stage: 'raw' | 'normalized';
  readonly special: boolean;
  /** The token swallows white space on its left or right. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Found only where no word character touches it. */
  readonly singleWord: boolean;
}

/** A stretch of text, or the id of a token that was found between such stretches. */
export type Section = string | number;

interface Node {
  readonly next: Map<number, Node>;
  token?: AddedToken;
}

/** Not \s, which JavaScript takes to hold U+FEFF and to lack U+0085. All are one code unit. */
const space = /\p{White_Space}/u;
const wordCharacter = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const wordAtEnd = new RegExp(`${wordCharacter.source}$`, 'u');
const wordAtStart = new RegExp(`^${wordCharacter.source}`, 'u');

/** Cuts texts at added tokens: the leftmost, of those the longest. */
export function addedTokenSplitter(tokens: readonly AddedToken[]): (text: string) => Section[] {
  if (tokens.length === 0) return (text) => (text === '' ? [] : [text]);
  const root: Node = { next: new Map() };
  for (const token of tokens) {
    let node = root;
    for (let i = 0; i < token.match.length; i++) {
      const unit = token.match.charCodeAt(i);
      const child = node.next.get(unit) ?? { next: new Map() };
      node.next.set(unit, child);
      node = child;
    }
    node.token ??= token;
  }
  return (text) => split(text, root);
}

function split(text: string, root: Node): Section[] {
  const sections: Section[] = [];
  let start = 0;
  for (let at = 0; at < text.length; ) {
    const token = longestAt(text, at, root);
    if (!token || (token.singleWord && touchesWord(text, at, at + token.match.length))) {
      at++;
      continue;
    }
    let end = at;
    if (token.lstrip) while (end > start && space.test(text[end - 1] ?? '')) end--;
    if (end > start) sections.push(text.slice(start, end));
    sections.push(token.id);
    at += token.match.length;
    if (token.rstrip) while (space.test(text[at] ?? '')) at++;
    start = at;
  }
  if (start < text.length) sections.push(text.slice(start));
  return sections;
}

function longestAt(text: string, start: number, root: Node): AddedToken | undefined {
  let found: AddedToken | undefined;
  let node = root.next.get(text.charCodeAt(start));
  for (let at = start + 1; node; at++) {
    found = node.token ?? found;
    node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
  }
  return found;
}

/** Looks at two code units on each side, enough for one character. */
function touchesWord(text: string, start: number, end: number): boolean {
  return wordAtEnd.test(text.slice(Math.max(0, start - 2), start)) || wordAtStart.test(text.slice(end, end + 2));
}
