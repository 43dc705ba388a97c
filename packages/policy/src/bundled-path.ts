import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Path of a file that a parameter names: the name of one that the package brings along, or a path.
 * @param tables the package's own folder, e.g. `new URL('../tables/', import.meta.url)`
 */
export function bundledPath(name: string, tables: URL, extension: string): string {
  if (!/^[\w-]+(\.[\w-]+)*$/.test(name)) return name;
  const bundled = fileURLToPath(new URL(`${name}${extension}`, tables));
  return existsSync(bundled) ? bundled : name;
}
