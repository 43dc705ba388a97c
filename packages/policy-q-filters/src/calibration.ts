/**
 * Main direction of stacked queries (not centred) of one query head, turned so that more than half of the queries agree with it (specification 16):
 * power iteration on QᵀQ. @param rows [count, headDim]
 */
export function mainDirection(rows: Float32Array, headDim: number, iterations = 200): Float64Array {
  const count = rows.length / headDim;
  const gram = new Float64Array(headDim * headDim);
  for (let row = 0; row < count; row++) {
    const own = rows.subarray(row * headDim, (row + 1) * headDim);
    for (let a = 0; a < headDim; a++)
      for (let b = 0; b < headDim; b++) gram[a * headDim + b] = (gram[a * headDim + b] ?? 0) + (own[a] ?? 0) * (own[b] ?? 0);
  }
  let direction = Float64Array.from({ length: headDim }, (_, channel) => 1 + channel / headDim);
  for (let round = 0; round < iterations; round++) {
    const next = direction.map((_, a) => direction.reduce((sum, value, b) => sum + (gram[a * headDim + b] ?? 0) * value, 0));
    const size = Math.hypot(...next) || 1;
    direction = next.map((value) => value / size);
  }
  let agreeing = 0;
  for (let row = 0; row < count; row++) {
    const product = direction.reduce((sum, value, channel) => sum + value * (rows[row * headDim + channel] ?? 0), 0);
    if (product > 0) agreeing++;
  }
  return agreeing > count / 2 ? direction : direction.map((value) => -value);
}

/** Filter of a KV head: minus the mean of its query heads' main directions. @param groups queries [count, headDim] of each query head of the group */
export function filterOf(groups: readonly Float32Array[], headDim: number): Float32Array {
  const directions = groups.map((rows) => mainDirection(rows, headDim));
  return Float32Array.from(
    { length: headDim },
    (_, channel) => -directions.reduce((sum, direction) => sum + (direction[channel] ?? 0), 0) / groups.length,
  );
}
