import { createRequire } from 'node:module';
import { KvsiftError } from '@kvsift/tensor';

/** "linux-x64-gnu", "darwin-arm64", ... */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return `${platform}-${arch}-${header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`;
}

/** An addon that is looked for. */
export interface AddonSearch {
  /** Package that it belongs to, for messages. */
  readonly package: string;
  /** `import.meta.url` of the module whose packages `places` names. */
  readonly from: string;
  /** Modules and paths where it may be, best first. */
  readonly places: readonly string[];
  /** What to run to get it, one line each. */
  readonly remedies: readonly string[];
}

/**
 * Loads an addon from the first place where it is.
 * @throws KvsiftError `backend_unavailable`, which names every place that was tried and what to run
 */
export function loadAddon<Addon>(search: AddonSearch): Addon {
  const require = createRequire(search.from);
  const platform = platformName();
  const tried: string[] = [];
  for (const place of search.places) {
    try {
      return require(place) as Addon;
    } catch (error) {
      const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
      tried.push(`  ${place}: ${reason}`);
    }
  }
  throw new KvsiftError(
    'backend_unavailable',
    [
      `The native part of ${search.package} for ${platform} could not be loaded. Tried:`,
      ...tried,
      'To get it, run one of:',
      ...search.remedies.map((remedy) => `  ${remedy}`),
    ].join('\n'),
    { platform, tried },
  );
}
