import { createInterface } from 'node:readline';

/** One measurement: read a prompt, then decode. */
export interface RunRequest {
  readonly op: 'run';
  readonly tokens: number;
  readonly steps: number;
  /** Policy as an expression and budget, for peers that have them. */
  readonly policy?: string;
  readonly budget?: string;
  /** Storage of the cache, for peers that have several. Default: the peer's. */
  readonly kvType?: 'f16' | 'q8_0';
  /** Tell the share of the reading time that evicting took. */
  readonly eviction?: boolean;
  /** Tell the share of a decode step in which the stream had nothing to do. */
  readonly crossing?: boolean;
  /** Tell the peak of memory and the delay of the event loop; watching them takes time of its own. */
  readonly watch?: boolean;
  /** Sequences decoded together. Default 1. */
  readonly batch?: number;
}

export type Request = { readonly op: 'load'; readonly model: string; readonly context: number } | RunRequest;

/** Tokens per second of both phases, and what else a peer can tell. */
export interface RunResult {
  readonly prefill: number;
  readonly decode: number;
  readonly extra?: Readonly<Record<string, number>>;
}

/** Prompt ids that every peer uses: spread over the vocabulary, no special tokens. */
export function promptIds(count: number): number[] {
  return Array.from({ length: count }, (_, index) => 100 + ((index * 7919) % 40000));
}

/** Answers requests on standard input, one JSON line each, until it closes. */
export async function serve(handle: (request: Request) => Promise<unknown>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      process.stdout.write(`${JSON.stringify({ ok: (await handle(JSON.parse(line) as Request)) ?? null })}\n`);
    } catch (error) {
      process.stdout.write(`${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`);
    }
  }
}
