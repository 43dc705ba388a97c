/** Numbers that a pyramid of budgets depends on; entries per KV head, window excluded where they are called past. */
export interface Pyramid {
  readonly layers: number;
  /** Average entries of the past per layer. */
  readonly pastBudget: number;
  readonly window: number;
  readonly tokens: number;
  readonly beta: number;
}

/** First and last layer's past entries (specification 7): the last gets 1/β of the average, the first as much more, capped at the past. */
function ends({ pastBudget, tokens, window, beta }: Pyramid): { most: number; least: number } {
  const least = Math.floor(pastBudget / beta);
  const most = 2 * pastBudget - least;
  const past = tokens - window;
  return most >= past ? { most: past, least: 2 * pastBudget - past } : { most, least };
}

/** A straight line from the first to the last layer, rounded by largest remainder: the sum is layers · pastBudget. */
export function exactPyramid(pyramid: Pyramid): number[] {
  const { layers, pastBudget, window } = pyramid;
  const { most, least } = ends(pyramid);
  const line = Array.from({ length: layers }, (_, layer) =>
    layers === 1 ? pastBudget : most - (layer * (most - least)) / (layers - 1),
  );
  const floors = line.map(Math.floor);
  let missing = layers * pastBudget - floors.reduce((sum, entries) => sum + entries, 0);
  const order = line
    .map((entries, layer) => ({ rest: entries - Math.floor(entries), layer }))
    .sort((a, b) => b.rest - a.rest || a.layer - b.layer);
  for (const { layer } of order) {
    if (missing-- <= 0) break;
    floors[layer] = (floors[layer] ?? 0) + 1;
  }
  return floors.map((entries) => entries + window);
}

/** KVCache-Factory: an integer step per layer, uniform below twice the average; `uniformZone` false is the AdaKV repository. */
export function steppedPyramid(pyramid: Pyramid, uniformZone: boolean): number[] {
  const { layers, pastBudget, window, tokens } = pyramid;
  const { most, least } = ends(pyramid);
  if (uniformZone && tokens < 2 * pastBudget) return Array.from({ length: layers }, () => pastBudget + window);
  const step = layers === 1 ? 0 : Math.floor((most - least) / (layers - 1));
  return Array.from({ length: layers }, (_, layer) => most - layer * step + window);
}

/** kvpress PyramidKVPress with an average of `kept` (real) entries, window included; uniform where the line leaves [window, tokens]. */
export function kvpressPyramid({ layers, tokens, window, beta }: Omit<Pyramid, 'pastBudget'>, kept: number): number[] {
  let least = kept / beta;
  let most = 2 * kept - least;
  if (most >= tokens - window) {
    most = tokens - window;
    least = 2 * kept - most;
  }
  if (!(tokens >= most && most >= least && least >= window)) {
    return Array.from({ length: layers }, () => Math.max(1, roundHalfEven(kept)));
  }
  const step = layers === 1 ? 0 : (most - least) / (layers - 1);
  return Array.from({ length: layers }, (_, layer) => roundHalfEven(most - layer * step));
}

/** Nearest integer, halves to the even one, as Python rounds. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
