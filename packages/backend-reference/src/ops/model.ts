import type { NormOptions, ProjectedNorm, SamplingRule, Shape } from '@kvsift/tensor';

export function embedding(table: Float32Array, columns: number, ids: Int32Array, scale: number, out: Float32Array): void {
  for (const [row, id] of ids.entries()) {
    for (let column = 0; column < columns; column++) out[row * columns + column] = (table[id * columns + column] ?? 0) * scale;
  }
}

export function rmsNorm(
  x: Float32Array,
  weight: Float32Array,
  { epsilon, weightOffset = 0 }: NormOptions,
  out: Float32Array,
): void {
  const columns = weight.length;
  for (let first = 0; first < x.length; first += columns) {
    let squares = 0;
    for (let column = 0; column < columns; column++) squares += (x[first + column] ?? 0) ** 2;
    const factor = 1 / Math.sqrt(squares / columns + epsilon);
    for (let column = 0; column < columns; column++) {
      out[first + column] = (x[first + column] ?? 0) * factor * ((weight[column] ?? 0) + weightOffset);
    }
  }
}

/** Products of `size` numbers of `one` with four rows of `many`: four sums at a time keep the adder busy, each in its own order. */
function fourProducts(
  many: Float32Array,
  rows: readonly [number, number, number, number],
  one: Float32Array,
  from: number,
  size: number,
  sums: Float64Array,
): void {
  const [a, b, c, d] = rows;
  let [s, t, u, v] = [0, 0, 0, 0];
  for (let k = 0; k < size; k++) {
    const factor = one[from + k] as number;
    s += (many[a + k] as number) * factor;
    t += (many[b + k] as number) * factor;
    u += (many[c + k] as number) * factor;
    v += (many[d + k] as number) * factor;
  }
  sums[0] = s;
  sums[1] = t;
  sums[2] = u;
  sums[3] = v;
}

export function linear(
  x: Float32Array,
  weight: Float32Array,
  rows: number,
  outputs: number,
  inputs: number,
  bias: Float32Array | undefined,
  residual: Float32Array | undefined,
  out: Float32Array,
): void {
  const sums = new Float64Array(4);
  const put = (row: number, output: number, sum: number) => {
    const to = row * outputs + output;
    out[to] = sum + (bias?.[output] ?? 0) + (residual?.[to] ?? 0);
  };
  const four = (first: number, end: number) =>
    [0, 1, 2, 3].map((step) => Math.min(first + step, end - 1) * inputs) as [number, number, number, number];
  // Many rows: four of them to each output. Few rows: four outputs to each of them.
  const wide = rows >= 4;
  const [outer, inner, single, many] = wide ? [outputs, rows, weight, x] : [rows, outputs, x, weight];
  const groups = Array.from({ length: Math.ceil(inner / 4) }, (_, group) => four(4 * group, inner));
  for (let index = 0; index < outer; index++) {
    for (const [group, starts] of groups.entries()) {
      fourProducts(many, starts, single, index * inputs, inputs, sums);
      for (let step = 0; step < 4 && 4 * group + step < inner; step++) {
        const other = 4 * group + step;
        put(wide ? other : index, wide ? index : other, sums[step] as number);
      }
    }
  }
}

export function projectedNorms(
  values: Float32Array,
  [kvHeads = 0, length = 0, headDim = 0]: Shape,
  weight: Float32Array,
  [outputs = 0, columns = 0]: Shape,
  norm: ProjectedNorm,
  out: Float32Array,
): void {
  const group = columns / headDim / kvHeads;
  for (let at = 0; at < out.length; at++) {
    const head = Math.floor(at / length);
    const value = (Math.floor(head / group) * length + (at % length)) * headDim;
    let sum = 0;
    for (let output = 0; output < outputs; output++) {
      const first = output * columns + head * headDim;
      let product = 0;
      for (let c = 0; c < headDim; c++) product += (values[value + c] as number) * (weight[first + c] as number);
      sum += norm === 'l1' ? Math.abs(product) : product * product;
    }
    out[at] = norm === 'l1' ? sum : Math.sqrt(sum);
  }
}

const activations = {
  silu: (x: number) => x / (1 + Math.exp(-x)),
  gelu_tanh: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
};

/** Error function by its series near 0 and by a continued fraction further out; 1e-15. */
function erf(x: number): number {
  const size = Math.abs(x);
  if (size < 2.5) {
    let term = size;
    let sum = size;
    for (let n = 1; n < 60; n++) {
      term *= (-size * size) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / ((size + fraction) * Math.sqrt(Math.PI)));
}

export function gated(x: Float32Array, half: number, activation: keyof typeof activations, out: Float32Array): void {
  const act = activations[activation];
  for (let index = 0; index < out.length; index++) {
    const from = Math.floor(index / half) * 2 * half + (index % half);
    out[index] = act(x[from] ?? 0) * (x[from + half] ?? 0);
  }
}

export function softcap(x: Float32Array, cap: number, out: Float32Array): void {
  for (const [index, value] of x.entries()) out[index] = cap * Math.tanh(value / cap);
}

export function rope(
  x: Float32Array,
  positions: Int32Array,
  heads: number,
  headDim: number,
  frequencies: Float32Array,
  scale: number,
  out: Float32Array,
): void {
  out.set(x);
  const half = frequencies.length;
  for (const [row, position] of positions.entries()) {
    for (let pair = 0; pair < half; pair++) {
      const angle = position * (frequencies[pair] ?? 0);
      const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale];
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * headDim + pair;
        const [a, b] = [x[at] ?? 0, x[at + half] ?? 0];
        out[at] = a * cos - b * sin;
        out[at + half] = b * cos + a * sin;
      }
    }
  }
}

/** Id and natural-log probability of one row. */
export function sampleRow(logits: Float32Array, rule: SamplingRule): readonly [id: number, logProb: number] {
  const value = (id: number) => {
    const logit = logits[id] ?? Number.NaN;
    return Number.isNaN(logit) ? Number.NEGATIVE_INFINITY : logit;
  };
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (value(id) > value(best)) best = id;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(value(id) - value(best));
  const logProb = (id: number) => value(id) - value(best) - Math.log(sum);
  if (rule.temperature === 0) return [best, logProb(best)];
  const order = Array.from(logits.keys()).sort((a, b) => value(b) - value(a) || a - b);
  if (rule.topK > 0) order.length = Math.min(order.length, rule.topK);
  const weights = order.map((id) => Math.exp((value(id) - value(best)) / rule.temperature));
  const total = weights.reduce((all, weight) => all + weight, 0);
  let kept = 0;
  for (let mass = 0; kept < weights.length; kept++) {
    if (kept > 0 && mass >= rule.topP) break;
    if ((weights[kept] ?? 0) < rule.minP) break;
    mass += (weights[kept] ?? 0) / total;
  }
  kept = Math.max(1, kept);
  let rest = rule.uniform * weights.slice(0, kept).reduce((all, weight) => all + weight, 0);
  for (let at = 0; at < kept - 1; at++) {
    rest -= weights[at] ?? 0;
    if (rest < 0) return [order[at] ?? best, logProb(order[at] ?? best)];
  }
  const last = order[kept - 1] ?? best;
  return [last, logProb(last)];
}
