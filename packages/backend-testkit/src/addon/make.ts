import type { Backend } from '@kvsift/tensor';

/** Makes a backend of the kind under test; `memoryLimit` in bytes. */
export type MakeAddonBackend = (options?: { readonly memoryLimit: number }) => Backend;
