import { KvsiftError } from '@kvsift/tensor';
import { request } from './request.js';
import { checkNames, type HubOptions, type HubRepository, hubSettings } from './settings.js';

/** A file of a repository. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
}

/**
 * All files of a repository. Needs the network.
 * @throws KvsiftError as `downloadFile`; `file_not_found` where it is told to stay offline
 */
export async function listFiles(options: HubOptions & HubRepository): Promise<HubFile[]> {
  const settings = await hubSettings(options);
  checkNames(options, []);
  const { repo, type = 'dataset', revision = 'main' } = options;
  if (settings.offline) {
    throw new KvsiftError(
      'file_not_found',
      `${repo}: the list of its files needs the network; name the files, or leave --offline out`,
      { repo },
    );
  }
  const files: HubFile[] = [];
  let url: string | undefined = `${settings.endpoint}/api/${type}s/${repo}/tree/${encodeURIComponent(revision)}?recursive=true`;
  while (url !== undefined) {
    const response: Response = await request(url, settings, { what: repo });
    const page: unknown = await response.json().catch(() => undefined);
    if (!Array.isArray(page))
      throw new KvsiftError('download_failed', `${repo}: expected a list of files from ${settings.endpoint}`, { url });
    for (const entry of page as { type?: string; path?: string; size?: number }[]) {
      if (entry.type === 'file' && typeof entry.path === 'string') files.push({ path: entry.path, size: entry.size ?? 0 });
    }
    const next = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    url = next === undefined ? undefined : new URL(next, url).href;
  }
  return files;
}
