import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** A file of the test hub. `large` files live on another host and have SHA-256 etags, as those in Git LFS do. */
export interface HubFixture {
  readonly content: Buffer;
  readonly large?: boolean;
}

export const commit = 'c'.repeat(40);

/** A hub on 127.0.0.1 that answers as huggingface.co does, and misbehaves when asked to. */
export class HubServer implements AsyncDisposable {
  readonly files = new Map<string, HubFixture>();
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly range: string | undefined;
    readonly token: string | undefined;
  }[] = [];
  /** Times that the connection is to break after this many bytes. */
  breaks = { times: 0, after: 0 };
  /** Answers 503 this many times first. */
  busy = 0;
  ignoresRange = false;
  damaged = false;
  /** Refuses requests without this token. */
  expectedToken?: string;

  private constructor(
    private readonly hub: Server,
    private readonly store: Server,
  ) {}

  static async start(): Promise<HubServer> {
    const hub = createServer((request, response) => server.#answer(request, response));
    const store = createServer((request, response) =>
      server.#send(request, response, decodeURIComponent(request.url ?? '').slice(1)),
    );
    const server = new HubServer(hub, store);
    for (const one of [hub, store]) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get endpoint(): string {
    return addressOf(this.hub);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#note(request);
    const refuse = (status: number, code: string) =>
      response.writeHead(status, code === '' ? {} : { 'x-error-code': code }).end();
    if (this.busy > 0) {
      this.busy -= 1;
      return void response.writeHead(503).end();
    }
    if (this.expectedToken !== undefined && request.headers.authorization !== `Bearer ${this.expectedToken}`)
      return void refuse(401, 'RepoNotFound');
    const url = new URL(request.url ?? '', this.endpoint);
    if (url.pathname === '/api/datasets/owner/data/tree/main') return void this.#list(url, response);
    const [, repo, revision, path] =
      /^\/datasets\/(\w+\/[\w-]+)\/resolve\/([^/]+)\/(.+)$/.exec(decodeURIComponent(url.pathname)) ?? [];
    if (repo === 'owner/renamed') {
      return void response.writeHead(307, { location: request.url?.replace('renamed', 'data') ?? '' }).end();
    }
    if (repo !== 'owner/data') return void refuse(404, 'RepoNotFound');
    if (revision !== 'main' && revision !== commit) return void refuse(404, 'RevisionNotFound');
    const file = this.files.get(path ?? '');
    if (file === undefined || path === undefined) return void refuse(404, 'EntryNotFound');
    response.setHeader('x-repo-commit', commit);
    if (!file.large) return void this.#send(request, response, path);
    const sha256 = createHash('sha256').update(file.content).digest('hex');
    const location = `${addressOf(this.store)}/${encodeURIComponent(path)}`;
    response.writeHead(302, { location, 'x-linked-etag': `"${sha256}"`, 'x-linked-size': `${file.content.length}` }).end();
  }

  #send(request: IncomingMessage, response: ServerResponse, path: string): void {
    if (request.socket.localPort !== portOf(this.hub)) this.#note(request);
    const { content } = this.files.get(path) ?? { content: Buffer.alloc(0) };
    const from = this.ignoresRange ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const sha1 = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
    response.writeHead(from > 0 ? 206 : 200, { etag: `"${sha1}"`, 'content-length': content.length - from });
    if (request.method === 'HEAD') return void response.end();
    const body = Buffer.from(content.subarray(from));
    if (this.damaged) body[0] = 255 - (body[0] ?? 0);
    if (this.breaks.times === 0) return void response.end(body);
    this.breaks.times -= 1;
    response.write(body.subarray(0, this.breaks.after), () => setTimeout(() => response.destroy(), 20));
  }

  #list(url: URL, response: ServerResponse): void {
    const names = [...this.files.keys()];
    const second = url.searchParams.has('cursor');
    const shown = second ? names.slice(1) : names.slice(0, 1);
    if (!second) response.setHeader('link', `<${url.href}&cursor=1>; rel="next"`);
    const entries = shown.map((path) => ({ type: 'file', path, size: this.files.get(path)?.content.length }));
    response.end(JSON.stringify([{ type: 'directory', path: 'folder' }, ...entries]));
  }

  #note({ method = '', url = '', headers }: IncomingMessage): void {
    this.requests.push({ method, url, range: headers.range, token: headers.authorization });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.hub, this.store]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${portOf(server)}`;
}
