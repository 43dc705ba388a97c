/** How the tokens of a vocabulary stand for bytes. */
export type TokenCoding =
  /** Every character stands for one byte (GPT-2). */
  | { readonly kind: 'byte-level' }
  /** Text with substitutes (`▁` for a space); `<0x0A>` for a byte where `byteFallback`. */
  | {
      readonly kind: 'pieces';
      readonly replacements: readonly (readonly [from: string, to: string])[];
      readonly byteFallback: boolean;
      /** Spaces to drop at the start of a text. */
      readonly leadingSpaces: number;
    };

const encoder = new TextEncoder();

/**
 * The printable character that stands for each byte in GPT-2's vocabulary: the byte's own where Latin-1 prints it, else 256 upwards in order
 * (openai/gpt-2, encoder.py, bytes_to_unicode).
 */
export const byteCharacters: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
})();

/** A text as GPT-2's vocabulary writes it: a character for each byte. */
export function byteLevelText(text: string): string {
  let written = '';
  for (const byte of encoder.encode(text)) written += byteCharacters[byte];
  return written;
}

const byteOfCharacter: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]));

function byteLevel(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i] ?? '');
    // Not written in byte characters: some vocabularies add tokens as plain text.
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}

/** Bytes of one ordinary token; added tokens are plain text and do not come here. */
export function tokenBytes(coding: TokenCoding, token: string): Uint8Array {
  if (coding.kind === 'byte-level') return byteLevel(token);
  const byte = coding.byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
  if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
  return encoder.encode(coding.replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token));
}
