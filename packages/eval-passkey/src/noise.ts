/** The five sentences that fill passkey prompts. */
export const NOISE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.';
