import type { SummaryRow } from '@kvsift/eval';

type Value = string | number | boolean | undefined;

const fields: readonly (readonly [name: string, value: (row: SummaryRow) => Value])[] = [
  ['model', ({ model }) => model],
  ['suite', ({ suite }) => suite],
  ['task', ({ task }) => task],
  ['policy', ({ policy }) => policy],
  ['budget', ({ budget }) => budget],
  ['manifest', ({ manifests }) => manifests.join(' ')],
  ['n', ({ n }) => n],
  ['failed', ({ failed }) => failed],
  ['score', ({ score }) => score.mean],
  ['score_low', ({ score }) => score.low],
  ['score_high', ({ score }) => score.high],
  ['difference', ({ difference }) => difference?.mean],
  ['difference_low', ({ difference }) => difference?.low],
  ['difference_high', ({ difference }) => difference?.high],
  ['difference_n', ({ difference }) => difference?.n],
  ['within_noise', ({ difference }) => difference?.withinNoise],
  ['cache_bytes', ({ cacheBytes }) => cacheBytes],
  ['cache_share', ({ cacheShare }) => cacheShare],
  ['context_tokens', ({ contextTokens }) => contextTokens],
  ['prefill_seconds', ({ prefillSeconds }) => prefillSeconds],
  ['decode_tokens_per_second', (row) => row.decodeTokensPerSecond],
];

/** All numbers of a summary, unrounded, as CSV (RFC 4180); empty where there is none. */
export function csvTable(rows: readonly SummaryRow[]): string {
  const lines = rows.map((row) => fields.map(([, value]) => quote(value(row))).join(','));
  return [fields.map(([name]) => name).join(','), ...lines].join('\n');
}

function quote(value: Value): string {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return '';
  const text = `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
