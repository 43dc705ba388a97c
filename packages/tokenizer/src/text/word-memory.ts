/** Enough for the words of a long text; cleared when full. */
const rememberedWords = 20_000;
const longestRemembered = 64;

/** Remembers the ids of words: a text repeats most of its words, and finding their ids is what costs. */
export function wordMemory(idsOf: (word: string) => readonly number[]): (word: string, ids: number[]) => void {
  const memory = new Map<string, readonly number[]>();
  return (word, ids) => {
    let found = memory.get(word);
    if (!found) {
      found = idsOf(word);
      if (memory.size >= rememberedWords) memory.clear();
      if (word.length <= longestRemembered) memory.set(word, found);
    }
    for (const id of found) ids.push(id);
  };
}
