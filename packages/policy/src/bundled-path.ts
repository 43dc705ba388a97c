import { fileURLToPath } from 'node:url';

/**
 * Path of a file that a parameter names: a bare name is one that the package brings along, anything else a path.
 * @param tables the package's own folder, e.g. `new URL('../tables/', import.meta.url)`
 */
export function bundledPath(name: string, tables: URL, extension: string): string {
  return /^[\w-]+(\.[\w-]+)*$/.test(name) && !name.endsWith(extension)
    ? fileURLToPath(new URL(`${name}${extension}`, tables))
    : name;
}
