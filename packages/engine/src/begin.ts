import { KvCache } from '@kvsift/cache';
import type { ModelConfig } from '@kvsift/models';
import { type Budget, type PolicyRun, parseBudget } from '@kvsift/policy';
import { type Backend, type KvStorage, KvsiftError, type KvType } from '@kvsift/tensor';
import { modelShape } from './layer-view.js';
import type { SessionModel, SessionOptions } from './session-options.js';

/** What a cache is stored in where nobody says: exact where the backend computes exactly. */
export function defaultKvType({ info }: Pick<Backend, 'info'>): KvType {
  return info.compute === 'f32' ? 'f32' : 'f16';
}

/** An empty cache as the options want it. @throws KvsiftError `budget_invalid` where there is a policy without a budget */
export function makeCache({ decoder }: SessionModel, storage: KvStorage, options: SessionOptions): KvCache {
  const { policy, blockSize } = options;
  if (policy !== undefined && budgetOf(options) === undefined) {
    throw new KvsiftError(
      'budget_invalid',
      `the policy ${policy.name} needs a budget: tokens (512), a share ("20%") or bytes ("64MiB")`,
    );
  }
  const { kvHeads, headDim, layers } = decoder.config;
  return new KvCache({
    storage,
    layout: options.layout ?? (policy?.ragged ? 'flattened' : 'dense'),
    layers: layers.map(({ window }) => ({
      kvHeads,
      headDim,
      positions: window !== undefined || options.trackPositions === true,
    })),
    ...(decoder.backend.place && { places: decoder.layers.map(({ backend }) => backend) }),
    ...(blockSize !== undefined && { blockSize }),
  });
}

/** The budget of a session in numbers; everything where its policy ignores it. */
export function budgetOf({ budget, policy }: Pick<SessionOptions, 'budget' | 'policy'>): Budget | undefined {
  if (budget === undefined && policy?.ignoresBudget) return { kind: 'share', numerator: 1, denominator: 1 };
  return budget === undefined || typeof budget === 'object' ? budget : parseBudget(String(budget));
}

/** Starts the policy of a session, where it has one, for a prompt of this length. */
export function beginPolicy(
  config: ModelConfig,
  storage: Pick<KvStorage, 'dtype'>,
  options: SessionOptions,
  promptLength: number,
): PolicyRun | undefined {
  const { policy, seed = 0, sequence = 0, trackPositions } = options;
  const budget = budgetOf(options);
  if (policy === undefined || budget === undefined) return undefined;
  return policy.begin({ model: modelShape(config, storage, trackPositions), promptLength, budget, seed, sequence });
}
