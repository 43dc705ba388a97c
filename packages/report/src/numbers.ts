/** Numbers as tables and charts write them. */

export { formatBytes } from '@kvsift/tensor';

/** `0.87`, or `–` where there is none. */
export function formatScore(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : '–';
}

/** `+0.03`, `−0.20` */
export function formatDifference(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const text = Math.abs(value).toFixed(2);
  return text === '0.00' ? '0.00' : `${value < 0 ? '−' : '+'}${text}`;
}

/** `0.042 s`, `3.1 s`, `4 min 10 s` */
export function formatSeconds(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  return `${value >= 1 ? value.toFixed(1) : value.toPrecision(2)} s`;
}

/** `412`, `8.3` */
export function formatRate(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? value.toFixed(0) : value.toPrecision(2);
}
