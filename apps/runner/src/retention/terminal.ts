/** Greys from what no head kept to what all kept. */
const greys = [238, 240, 243, 247, 251, 255] as const;

/** The text with every token as bright as the share of heads that kept it; without colour, tokens that fewer than half kept are hidden by dots. */
export function terminalText(tokens: readonly string[], shares: Float64Array, colour: boolean): string {
  const parts = tokens.map((token, index) => {
    const share = shares[index] ?? 0;
    if (!colour) return share >= 0.5 ? token : token.replace(/\S/gu, '·');
    const grey = greys[Math.min(greys.length - 1, Math.floor(share * greys.length))] ?? greys[0];
    return `\u001b[${share === 1 ? '1;' : ''}38;5;${grey}m${token}\u001b[0m`;
  });
  return parts.join('');
}
