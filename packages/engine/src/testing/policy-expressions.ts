import { allPolicies } from '@kvsift/policies';
import { smallModel } from './random-model.js';

export const registry = allPolicies();
/** Expressions that fit a prompt of 48 tokens; every other policy stands for itself. */
export const expressions: Readonly<Record<string, string>> = {
  snapkv: 'snapkv(window=4)',
  h2o: 'h2o(window=4)',
  finch: 'finch(question=4)',
  nacl: 'nacl(recent=4)',
  scissorhands: 'scissorhands(recent=4)',
  cake: 'cake(window=4)',
  lagkv: 'lagkv(lag=8)',
  simlayerkv: 'simlayerkv(threshold=0.1, recent=12)',
  quest: 'quest(pageSize=4, fullLayers=0)',
  keydiff: 'keydiff(blockSize=8)',
  adakv: 'adakv(snapkv(window=4))',
  pyramidkv: 'pyramidkv(snapkv(window=4))',
  chunkkv: 'chunkkv(snapkv(window=4), chunk=5)',
  criticalkv: 'criticalkv(snapkv(window=4))',
  'critical-adakv': 'critical-adakv(snapkv(window=4))',
  headkv: 'headkv(snapkv(window=4))',
  rerotate: 'rerotate(streaming-llm)',
  'per-chunk': 'per-chunk(knorm, chunk=12)',
  'per-layer': `per-layer(knorm, weights=[${Array.from({ length: smallModel.layers }, (_, layer) => layer + 1).join(', ')}])`,
  decoding: 'decoding(h2o(window=4), interval=2)',
  merging: 'merging(knorm)',
  sequence: 'sequence(first=snapkv(window=4), second=keydiff)',
  minicache: 'minicache(start=0, retained=0.2)',
  phases: 'phases(prompt=snapkv(window=4), answer=decoding(tova, interval=2, target=12))',
  threshold: 'threshold(knorm, threshold=-1.0, window=6)',
};
/** Need files or a tokenizer of their own. */
const elsewhere = new Set(['duo-attention', 'q-filters', 'kvzip']);
/** Policies that need nothing but a prompt. */
export const names = [...registry.factories.keys()].filter((name) => !elsewhere.has(name));
