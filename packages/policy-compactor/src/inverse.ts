/** (A + ridge · I)⁻¹ of a symmetric positive matrix by Cholesky in float64; the ridge grows tenfold until the factor exists. */
export function inverse(matrix: ArrayLike<number>, size: number, ridge: number): Float64Array {
  for (let added = ridge; ; added *= 10) {
    const factor = cholesky(matrix, size, added);
    if (factor !== undefined) return fromFactor(factor, size);
    if (!Number.isFinite(added)) return new Float64Array(size * size);
  }
}

/** Lower factor, or undefined where a pivot is not positive. */
function cholesky(matrix: ArrayLike<number>, size: number, ridge: number): Float64Array | undefined {
  const factor = new Float64Array(size * size);
  const at = (row: number, column: number) => factor[row * size + column] ?? 0;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      // Both triangles are averaged, as rounding leaves them different.
      const value = ((matrix[row * size + column] ?? 0) + (matrix[column * size + row] ?? 0)) / 2;
      let sum = value + (row === column ? ridge : 0);
      for (let k = 0; k < column; k++) sum -= at(row, k) * at(column, k);
      if (row === column && !(sum > 0)) return undefined;
      factor[row * size + column] = row === column ? Math.sqrt(sum) : sum / at(column, column);
    }
  }
  return factor;
}

function fromFactor(factor: Float64Array, size: number): Float64Array {
  const result = new Float64Array(size * size);
  const at = (row: number, column: number) => factor[row * size + column] ?? 0;
  for (let unit = 0; unit < size; unit++) {
    const y = new Float64Array(size);
    for (let row = 0; row < size; row++) {
      let sum = row === unit ? 1 : 0;
      for (let k = 0; k < row; k++) sum -= at(row, k) * (y[k] ?? 0);
      y[row] = sum / at(row, row);
    }
    for (let row = size - 1; row >= 0; row--) {
      let sum = y[row] ?? 0;
      for (let k = row + 1; k < size; k++) sum -= at(k, row) * (result[k * size + unit] ?? 0);
      result[row * size + unit] = sum / at(row, row);
    }
  }
  return result;
}
