import { KvsiftError } from '@kvsift/tensor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyCharacter, rustGoldens, tokenizerOf } from '../golden-lines.test.fixture.js';
import { loadTokenizer } from '../load.js';
import { byteCharacters } from '../text/token-bytes.js';

const { model, goldens } = rustGoldens('byte-level');
const size = Object.keys(model.vocab as object).length;
const special = (id: number, content: string) => ({ id, content, special: true, normalized: false });
const bos = {
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  special_tokens: { '<s>': { id: '<s>', ids: [size], tokens: ['<s>'] } },
};
const valid = {
  ...goldens[0]?.spec,
  model,
  post_processor: bos,
  added_tokens: [special(size, '<s>'), special(size + 1, '</s>')],
};

describe('a folder', () => {
  it('needs tokenizer.json only', async () => {
    const tokenizer = await tokenizerOf({ 'tokenizer.json': valid });
    expect(tokenizer).toMatchObject({ vocabSize: size + 2, eosIds: [], addBos: false });
    expect(tokenizer.encode('a')[0]).toBe(size);
    expect(() => tokenizer.chat([])).toThrow(/expected one with the model/);
  });

  it('takes special ids and the chat template from the files beside', async () => {
    const tokenizer = await tokenizerOf({
      'tokenizer.json': valid,
      'tokenizer_config.json': {
        bos_token: '<s>',
        eos_token: { content: '</s>' },
        chat_template: '{{ bos_token }}{{ messages[0].content }}',
      },
      'generation_config.json': { eos_token_id: [3, size + 1] },
    });
    expect(tokenizer).toMatchObject({ bosId: size, eosIds: [3, size + 1], addBos: true });
    expect(tokenizer.chat([{ role: 'user', content: 'hi' }])).toBe('<s>hi');
  });

  it('adds no BOS where tokenizer_config.json says so, and one where it asks', async () => {
    const settings = { bos_token: '<s>', add_bos_token: false };
    expect((await tokenizerOf({ 'tokenizer.json': valid, 'tokenizer_config.json': settings })).addBos).toBe(false);
    const without = { ...valid, post_processor: null };
    const asked = await tokenizerOf({ 'tokenizer.json': without, 'tokenizer_config.json': { ...settings, add_bos_token: true } });
    expect(asked.encode('')).toEqual(Int32Array.of(size));
  });

  it('prefers chat_template.jinja, and "default" among named templates', async () => {
    const chat_template = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'named' },
    ];
    const files = { 'tokenizer.json': valid, 'tokenizer_config.json': { chat_template } };
    expect((await tokenizerOf(files)).chat([])).toBe('named');
    expect((await tokenizerOf({ ...files, 'chat_template.jinja': 'file' })).chat([])).toBe('file');
  });

  it('is refused without tokenizer.json', async () => {
    await expect(loadTokenizer('/')).rejects.toMatchObject({ code: 'file_not_found' });
  });
});

describe('refusals', () => {
  const withModel = (change: object) => ({ ...valid, model: { ...model, ...change } });
  const cases: Record<string, [unknown, RegExp]> = {
    'no model': [{ ...valid, model: undefined }, /model/],
    'a WordPiece model': [withModel({ type: 'WordPiece' }), /model.type: expected BPE or Unigram, found WordPiece/],
    'a vocabulary that is a list': [withModel({ vocab: [] }), /model.vocab/],
    'two tokens with one id': [withModel({ vocab: { a: 0, b: 0 }, merges: [] }), /"a" and "b" have the same id 0/],
    'a negative id': [withModel({ vocab: { a: -1 }, merges: [] }), /found -1/],
    'an id beyond any vocabulary': [withModel({ vocab: { a: 2 ** 40 }, merges: [] }), /expected an id of 0 to/],
    'a merge whose result is no token': [withModel({ vocab: { a: 0, b: 1 }, merges: ['a b'] }), /merge 0, found "ab"/],
    'an unknown token that is none': [withModel({ unk_token: '<?>' }), /model.unk_token: expected a token of the vocabulary/],
    'a version to come': [{ ...valid, version: '2.0' }, /version/],
    'a merge of three': [withModel({ vocab: { a: 0 }, merges: ['a a a'] }), /two tokens in merge 0/],
    'an added token in the place of another': [
      { ...valid, added_tokens: [special(0, '<x>')] },
      /added_tokens: "<x>" has id 0, which is/,
    ],
    'an added token that has another id': [
      { ...valid, added_tokens: [special(size, 'a')] },
      /"a" has id \d+, the vocabulary has it as/,
    ],
    'an unknown pre-tokenizer': [{ ...valid, pre_tokenizer: { type: 'Telepathy' } }, /found Telepathy/],
    'an unknown normalizer': [{ ...valid, normalizer: { type: 'Telepathy' } }, /Telepathy/],
    'an unknown decoder': [{ ...valid, decoder: { type: 'WordPiece' } }, /decoder: expected/],
    'no decoder': [{ ...valid, decoder: null }, /decoder/],
    'a template of an encoder': [
      { ...valid, post_processor: { type: 'BertProcessing' } },
      /post_processor: expected TemplateProcessing/,
    ],
    'a pattern that is no pattern': [
      { ...valid, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated', invert: false } },
      /tokenizer.json: normalizer, pre_tokenizer or model: /,
    ],
    'components without end': [
      `${'{"type":"Sequence","pretokenizers":['.repeat(20_000)}{"type":"ByteLevel"}${']}'.repeat(20_000)}`,
      /stack|tokenizer/,
    ],
  };
  it.each(Object.entries(cases))('%s', async (_, [json, message]) => {
    const text =
      typeof json === 'string' ? JSON.stringify(valid).replace(/"pre_tokenizer":\{.*?\}\]\}/, `"pre_tokenizer":${json}`) : json;
    const error = await tokenizerOf({ 'tokenizer.json': text }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(KvsiftError);
    expect(error).toMatchObject({ code: 'tokenizer_invalid', message: expect.stringMatching(message) });
    expect(String(error)).toContain('tokenizer.json');
  });
});

describe('properties of a byte-level tokenizer', async () => {
  const tokenizer = await tokenizerOf({ 'tokenizer.json': valid });

  it('any text comes back; lone surrogates become U+FFFD', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyCharacter }), fc.boolean(), (text, parseSpecial) => {
        const ids = tokenizer.encode(text, { parseSpecial, addSpecial: false });
        expect(tokenizer.decode(ids)).toBe(text);
      }),
    );
    expect(tokenizer.decode(tokenizer.encode('a\ud800b\udc00', { addSpecial: false }))).toBe('a\ufffdb\ufffd');
    expect(tokenizer.encode('', { addSpecial: false })).toHaveLength(0);
  });

  it('a stream gives whole characters, and in all what decode gives, for any ids', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(size + 5)), fc.boolean(), (ids, skipSpecial) => {
        const stream = tokenizer.stream({ skipSpecial });
        const pieces = ids.map((id) => stream.push(id));
        expect(pieces.join('') + stream.end()).toBe(tokenizer.decode(ids, { skipSpecial }));
        for (const piece of pieces) expect(/\p{Surrogate}/u.test(piece)).toBe(false);
      }),
    );
  });

  it('holds a character back until its last byte', () => {
    const ids = Array.from(new TextEncoder().encode('😀é'), (byte) => tokenizer.idOf(byteCharacters[byte] ?? '') ?? -1);
    const stream = tokenizer.stream();
    expect(ids.map((id) => stream.push(id))).toEqual(['', '', '', '😀', '', 'é']);
    const cut = tokenizer.stream();
    expect(ids.slice(0, 3).map((id) => cut.push(id))).toEqual(['', '', '']);
    expect(cut.end()).toBe('\ufffd');
  });

  it('names tokens both ways', () => {
    fc.assert(fc.property(fc.nat(size + 1), (id) => tokenizer.idOf(tokenizer.tokenText(id)) === id));
    expect(() => tokenizer.tokenText(size + 2)).toThrow(/expected one of the/);
    expect(tokenizer.decode([size + 2, -1, 1.5])).toBe('');
  });
});
