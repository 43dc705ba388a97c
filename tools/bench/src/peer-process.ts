import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { KvsiftError } from '@kvsift/tensor';
import type { Request, RunRequest, RunResult } from './peers/protocol.js';

/** A peer in a process of its own: idle unless asked. */
export class PeerProcess implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
  ) {
    // Progress bars of a library would bury the table.
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, TQDM_DISABLE: '1' } });
    if (this.#child.stdout === null) throw new KvsiftError('backend_failure', `${name}: no standard output`);
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async load(model: string, context: number): Promise<void> {
    await this.#ask({ op: 'load', model, context });
  }

  async run(request: Omit<RunRequest, 'op'>): Promise<RunResult> {
    return (await this.#ask({ op: 'run', ...request })) as RunResult;
  }

  async #ask(request: Request): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new KvsiftError('backend_failure', `${this.name} ended with exit code ${this.#child.exitCode}`);
      if (!value.startsWith('{"ok"') && !value.startsWith('{"error"')) continue;
      const answer = JSON.parse(value) as { ok?: unknown; error?: string };
      if (answer.error !== undefined) throw new KvsiftError('backend_failure', `${this.name}: ${answer.error}`);
      return answer.ok;
    }
  }

  [Symbol.dispose](): void {
    this.#reader.close();
    this.#child.kill('SIGKILL');
  }
}
