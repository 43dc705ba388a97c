import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { loadTokenizer, type Tokenizer } from '@kvsift/tokenizer';
import { pathKind, readJsonFile } from '@kvsift/weights';
import { z } from 'zod';
import type { SuiteRun } from '../suite.js';
import type { Finding } from './compare.js';

const ids = z.array(z.number().int());
/** Cases of a published tokenizer: with special tokens in the text parsed, and taken as text. */
const publishedSchema = z.array(
  z.looseObject({ text: z.string(), ids, ids_specials_as_text: ids, decoded: z.string(), decoded_without_specials: z.string() }),
);
/** Cases of a small GGUF that brings its vocabulary as a tokenizer.json too. */
const ggufSchema = z.looseObject({
  bos_prepended_by_default: ids,
  special_tokens_parsed_in_text: z.boolean(),
  cases: z.array(
    z.looseObject({ text: z.string(), ids, decoded: z.string(), tokenizer_json_differs: z.boolean().default(false) }),
  ),
});

/** smollm2/tokenizer-cases.json: the folder names the model. */
export async function publishedTokenizerCases(run: SuiteRun, file: string): Promise<void> {
  const cases = publishedSchema.parse(await readJsonFile(join(run.folder, file), 'data_malformed'));
  const name = basename(dirname(file));
  const model = await run.model(name);
  if (model === undefined) return run.tally.skip(file, `no model ${name}`);
  const tokenizer = await loadTokenizer(model);
  for (const [i, each] of cases.entries()) {
    await run.tally.run(`${file} case ${i} ${quote(each.text)}`, () =>
      first(
        sameIds('ids', encode(tokenizer, each.text, true), each.ids),
        sameIds('ids with specials as text', encode(tokenizer, each.text, false), each.ids_specials_as_text),
        sameText('decoded', tokenizer.decode(each.ids), each.decoded),
        sameText('decoded without specials', tokenizer.decode(each.ids, { skipSpecial: true }), each.decoded_without_specials),
        sameText('streamed', streamed(tokenizer, each.ids), each.decoded),
      ),
    );
  }
}

/** gguf/NAME.tokenizer-cases.json: NAME.gguf among the models, NAME.tokenizer.json beside. */
export async function ggufTokenizerCases(run: SuiteRun, file: string): Promise<void> {
  const golden = ggufSchema.parse(await readJsonFile(join(run.folder, file), 'data_malformed'));
  const name = basename(file).replace(/\.tokenizer-cases\.json$/, '');
  const model = await run.model(name);
  if (model === undefined) run.tally.skip(file, `no model ${name}`);
  else await compare(run, `${file} from GGUF`, await loadTokenizer(model), golden, true);
  const json = join(run.folder, dirname(file), `${name}.tokenizer.json`);
  if ((await pathKind(json)) !== 'nothing')
    await compare(run, `${file} from tokenizer.json`, await fromJson(json), golden, false);
}

async function compare(
  run: SuiteRun,
  name: string,
  tokenizer: Tokenizer,
  golden: z.infer<typeof ggufSchema>,
  isGguf: boolean,
): Promise<void> {
  const { bos_prepended_by_default: bos, special_tokens_parsed_in_text: parseSpecial } = golden;
  for (const [i, each] of golden.cases.entries()) {
    await run.tally.run(`${name} case ${i} ${quote(each.text)}`, () => {
      const whole = tokenizer.encode(each.text, { parseSpecial });
      return first(
        ...(isGguf || !each.tokenizer_json_differs
          ? [
              sameIds('ids', encode(tokenizer, each.text, parseSpecial), each.ids),
              sameIds('ids with BOS', whole, [...bos, ...each.ids]),
            ]
          : []),
        sameText('decoded', tokenizer.decode(each.ids), each.decoded),
        sameText('streamed', streamed(tokenizer, each.ids), each.decoded),
      );
    });
  }
}

async function fromJson(path: string): Promise<Tokenizer> {
  const folder = await mkdtemp(join(tmpdir(), 'kvsift-tokenizer-'));
  try {
    await copyFile(path, join(folder, 'tokenizer.json'));
    return await loadTokenizer(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function encode(tokenizer: Tokenizer, text: string, parseSpecial: boolean): Int32Array {
  return tokenizer.encode(text, { addSpecial: false, parseSpecial });
}

function streamed(tokenizer: Tokenizer, list: readonly number[]): string {
  const stream = tokenizer.stream();
  return list.map((id) => stream.push(id)).join('') + stream.end();
}

function first(...findings: readonly Finding[]): Finding {
  return findings.find((finding) => finding !== undefined);
}

/** Exact equality of ids; the first difference says where. */
export function sameIds(what: string, actual: ArrayLike<number>, expected: readonly number[]): Finding {
  const at = expected.findIndex((id, i) => actual[i] !== id);
  if (at < 0 && actual.length === expected.length) return undefined;
  if (at < 0 || at >= actual.length) return `${what}: ${actual.length} instead of ${expected.length}`;
  return `${what}: at ${at} id ${actual[at]} instead of ${expected[at]}`;
}

export function sameText(what: string, actual: string, expected: string): Finding {
  if (actual === expected) return undefined;
  let at = 0;
  while (actual[at] === expected[at]) at++;
  return `${what}: at ${at} ${quote(actual.slice(at))} instead of ${quote(expected.slice(at))}`;
}

/** A text as JSON, cut to a readable length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
