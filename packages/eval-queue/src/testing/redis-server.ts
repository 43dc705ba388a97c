import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether a redis-server (or valkey-server) can be started here. */
export function redisBinary(): string | undefined {
  return ['redis-server', 'valkey-server'].find((name) => {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
}

/** A real server on a free port of 127.0.0.1, without files that outlive it. */
export class RedisServer implements AsyncDisposable {
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start(binary: string): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'kvsift-redis-'));
    const port = await freePort();
    const settings = { bind: '127.0.0.1', port, dir: folder, save: '', appendonly: 'no' };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    await new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', (text: Buffer) => /Ready to accept/.test(`${text}`) && resolve());
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`${binary} ended with ${code}`)));
    });
    return new RedisServer(`redis://127.0.0.1:${port}`, child, folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await rm(this.folder, { recursive: true });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
