import { fileURLToPath } from 'node:url';

/**
 * Absolute path of the folder with the model's files: config.json, generation_config.json, model.safetensors, tokenizer.json
 * and tokenizer_config.json. The same from source and from a built package.
 */
export function demoModelPath(): string {
  // Both src/ and dist/ lie beside model/.
  return fileURLToPath(new URL('../model', import.meta.url));
}
