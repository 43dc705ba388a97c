import type { LayoutKind } from '@kvsift/cache';
import type { DecoderModel } from '@kvsift/models';
import type { Budget, EvictionPolicy } from '@kvsift/policy';
import type { KvType } from '@kvsift/tensor';
import type { Tokenizer } from '@kvsift/tokenizer';
import type { EvictionCost } from './eviction-costs.js';
import type { LayerDone } from './prefill.js';

/** How a session treats its cache: which entries stay, how many, how they are stored. */
export interface SessionOptions {
  /** Which entries to keep; absent: all. */
  readonly policy?: EvictionPolicy;
  /** How much to keep: tokens (512 or '512'), a share ('20%') or bytes ('64MiB'). Needed with a policy, but those that ignore it. */
  readonly budget?: Budget | number | string;
  /** Storage of the cache. Default: f32 where the backend computes exactly, else f16. */
  readonly kvType?: KvType;
  /** Default: dense, or flattened where the policy keeps ragged heads. */
  readonly layout?: LayoutKind;
  /** Rows per block of the paged layout. */
  readonly blockSize?: number;
  /** Seed of random policies. Default 0. */
  readonly seed?: number;
  /** Number of this sequence: sequences with equal seeds and other numbers draw other numbers. Default 0. */
  readonly sequence?: number;
  /** Remember the original position of every entry, so that `retained` can tell. Costs 4 bytes per entry. */
  readonly trackPositions?: boolean;
}

/** How a prompt is read, and who is told. */
export interface PrefillInput {
  readonly signal?: AbortSignal;
  /** Work done so far, of all (tokens × layers). */
  readonly onProgress?: (done: number, total: number) => void;
  /** Looks at each layer before it is evicted. */
  readonly onLayer?: (done: LayerDone) => void | Promise<void>;
  /** Told what each eviction cost, layer by layer, when the prompt has been read. Resets the peak of the backend's memory. */
  readonly onEviction?: (cost: EvictionCost) => void;
  /** Put the tokenizer's BOS before text. Default: as the tokenizer says. Ids are taken as they are. */
  readonly addSpecial?: boolean;
}

/** What a session needs from its model. */
export interface SessionModel {
  readonly decoder: DecoderModel;
  readonly tokenizer: Tokenizer | undefined;
  readonly contextLength: number;
  readonly eosIds: ReadonlySet<number>;
  /** Tells this model from others. */
  fingerprint(): Promise<string>;
}
