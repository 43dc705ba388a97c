import type { Architecture } from './config.js';

export interface WindowFields {
  readonly architecture: Architecture;
  readonly layers: number;
  readonly window: number | undefined;
  readonly enabled: boolean | undefined;
  readonly firstWindowed: number | undefined;
  readonly pattern: number | undefined;
  readonly layerTypes: readonly string[] | undefined;
}

/** Sliding window of each layer, by each family's rule. Explicit `layer_types` win. */
export function windowed(fields: WindowFields): (number | undefined)[] {
  const { architecture, window, pattern, layerTypes } = fields;
  const slides = (layer: number): boolean => {
    if (layerTypes !== undefined) return layerTypes[layer] === 'sliding_attention';
    switch (architecture) {
      case 'mistral':
      case 'phi3':
        return true;
      case 'gemma2':
        return layer % 2 === 0;
      case 'gemma3':
        return (layer + 1) % (pattern ?? 6) !== 0;
      case 'qwen2':
      case 'qwen3':
        return fields.enabled === true && layer >= (fields.firstWindowed ?? 0);
      default:
        return false;
    }
  };
  return Array.from({ length: fields.layers }, (_, layer) => (window !== undefined && slides(layer) ? window : undefined));
}
