import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Folder of the code that runs: dist of this package. */
export const codeFolder = fileURLToPath(new URL('.', import.meta.url));

/** Version in package.json, which lies above src/ and dist/ alike. */
export function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { readonly version: string };
  return manifest.version;
}
