import { fileURLToPath } from 'node:url';
import { PeerProcess } from '../peer-process.js';
import type { RunRequest, RunResult } from '../peers/protocol.js';
import type { Printer } from './row.js';

/** What all groups of rows share. */
export interface Setting {
  readonly printer: Printer;
  /** SmolLM2-135M as Q4_1. */
  readonly model: string;
  /** Where models that were made and peers that were installed stay. */
  readonly cache: string;
  /** Folder with node-llama-cpp. */
  readonly llama: string;
  /** A Python with torch and transformers. */
  readonly python?: string;
  readonly repeat: number;
  /** The short rows only. */
  readonly quick: boolean;
}

const built = (file: string) => fileURLToPath(new URL(file, import.meta.url));

export const startOurs = () => new PeerProcess('kvsift', process.execPath, [built('./peers/ours.js')]);
export const startLlama = ({ llama }: Setting) =>
  new PeerProcess('llama.cpp', process.execPath, [built('./peers/llama.js'), llama]);
export const startTorch = ({ python }: Setting) =>
  python === undefined ? undefined : new PeerProcess('torch', python, [built('../python/peer_torch.py')]);

/** Repetitions of one request, peer by peer in turn. */
export async function interleave(
  peers: readonly PeerProcess[],
  request: Omit<RunRequest, 'op'>,
  repeat: number,
): Promise<Map<string, RunResult[]>> {
  const results = new Map<string, RunResult[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round < repeat; round++) for (const peer of peers) results.get(peer.name)?.push(await peer.run(request));
  return results;
}
