import type { TokenStream } from '../tokenizer.js';

/**
 * Detokenises bytes as they come.
 * @param bytesOf bytes of an id; undefined for one that is left out
 * @param leadingSpaces spaces to drop at the start of the text
 */
export function tokenStream(bytesOf: (id: number) => Uint8Array | undefined, leadingSpaces: number): TokenStream {
  // Holds back the bytes of an unfinished character between two calls.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let toDrop = leadingSpaces;
  const emit = (text: string): string => {
    if (toDrop === 0 || text === '') return text;
    let spaces = 0;
    while (spaces < toDrop && text[spaces] === ' ') spaces++;
    toDrop = spaces === text.length ? toDrop - spaces : 0;
    return text.slice(spaces);
  };
  return {
    push(id) {
      const bytes = bytesOf(id);
      return bytes ? emit(decoder.decode(bytes, { stream: true })) : '';
    },
    end: () => emit(decoder.decode()),
  };
}
