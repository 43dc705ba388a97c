import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { WorkerEvent } from '../worker.js';

const packages = fileURLToPath(new URL('../../..', import.meta.url));

/** Workers in processes of their own, made from source. */
export class WorkerProcesses implements AsyncDisposable {
  readonly #children = new Set<ChildProcess>();

  private constructor(
    private readonly folder: string,
    private readonly script: string,
    private readonly url: string,
  ) {}

  static async prepare(url: string): Promise<WorkerProcesses> {
    const folder = await mkdtemp(join(tmpdir(), 'kvsift-worker-'));
    const script = join(folder, 'worker.mjs');
    await build({
      entryPoints: [fileURLToPath(new URL('./worker-process.ts', import.meta.url))],
      outfile: script,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      logLevel: 'error',
      external: ['*.node'],
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
      plugins: [
        {
          name: 'workspace sources',
          setup: ({ onResolve }) =>
            onResolve({ filter: /^@kvsift\// }, ({ path }) => ({ path: join(packages, basename(path), 'src/index.ts') })),
        },
      ],
    });
    return new WorkerProcesses(folder, script, url);
  }

  /** Starts a worker; `onEvent` sees what it tells. */
  start(onEvent: (event: WorkerEvent, kill: () => void) => void = () => {}): void {
    let killed = false;
    const child = spawn(process.execPath, [this.script, this.url], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    createInterface({ input: child.stdout }).on('line', (line) => {
      // What a killed process wrote before may still arrive.
      if (killed) return;
      onEvent(JSON.parse(line) as WorkerEvent, () => {
        killed = true;
        child.kill('SIGKILL');
      });
    });
  }

  /** Workers that live. */
  get running(): number {
    return this.#children.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await rm(this.folder, { recursive: true });
  }
}
