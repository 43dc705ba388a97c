import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createReferenceBackend } from '@kvsift/backend-reference';
import { allPolicies } from '@kvsift/policies';
import type { ChatMessage } from '@kvsift/tokenizer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Chat } from './chat.js';
import type { LanguageModel } from './language-model.js';
import { load } from './load.js';
import { smallModel, writeRandomModel } from './testing/random-model.js';

/** One token per letter of "a" to "z"; a turn is a role's first letter, its text and "z". */
const template = "{% for m in messages %}{{ m['role'][0] + m['content'] + 'z' }}{% endfor %}{{ 'a' if add_generation_prompt }}";
const letters = Array.from({ length: 26 }, (_, index) => String.fromCharCode(97 + index));

let folder: string;
let model: LanguageModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvsift-chat-'));
  await writeRandomModel(folder, { ...smallModel, vocabulary: 26, contextLength: 64 });
  await writeFile(
    join(folder, 'tokenizer.json'),
    JSON.stringify({
      version: '1.0',
      added_tokens: [],
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      model: { type: 'BPE', vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])), merges: [] },
    }),
  );
  await writeFile(join(folder, 'chat_template.jinja'), template);
  model = await load(folder, { backend: createReferenceBackend() });
});
afterAll(async () => {
  model.dispose();
  await rm(folder, { recursive: true });
});

async function say(chat: Chat, content: string, maxTokens = 4): Promise<string> {
  let answer = '';
  for await (const { text } of chat.send(content, { maxTokens, ignoreEos: true })) answer += text;
  return answer;
}

describe('a conversation', () => {
  it('reads only what is new, and answers as one that reads everything at once', async () => {
    using chat = new Chat(model);
    const first = await say(chat, 'hello');
    const second = await say(chat, 'again');
    using whole = model.session();
    const past = model.tokenizer.chat([...chat.messages.slice(0, 3)], { addGenerationPrompt: true });
    await whole.prefill(model.tokenizer.encode(past, { addSpecial: false }));
    let answer = '';
    for await (const { text } of whole.generate({ maxTokens: 4, ignoreEos: true })) answer += text;
    expect(second).toBe(answer);
    expect(chat.messages.map(({ content }) => content)).toEqual(['hello', first, 'again', second]);
  });

  it('keeps an answer as far as it came where the loop is left', async () => {
    using chat = new Chat(model);
    for await (const { text } of chat.send('hello', { ignoreEos: true })) {
      expect(chat.messages).toHaveLength(1);
      if (text !== '') break;
    }
    expect(chat.messages).toHaveLength(2);
    expect(chat.messages[1]?.content).toHaveLength(1);
    expect(await say(chat, 'more')).toHaveLength(4);
  });

  it.each([
    ['taken back', {}],
    ['read again with everything, where it cannot be taken back', { policy: allPolicies().parse('decoding(tova)'), budget: 12 }],
  ])('goes on after a stop string as if it had not been said: %s', async (_how, options) => {
    using plain = new Chat(model, options);
    const unstopped = await say(plain, 'hello', 6);
    using chat = new Chat(model, options);
    let answer = '';
    const stop = unstopped.slice(3, 5);
    for await (const { text } of chat.send('hello', { maxTokens: 6, ignoreEos: true, stop })) answer += text;
    expect(answer).toBe(unstopped.slice(0, 3));
    using fresh = new Chat(model, options, chat.messages);
    expect(await say(chat, 'again')).toBe(await say(fresh, 'again'));
  });

  it('stays ended where it is ended in an answer that has stop strings', async () => {
    const chat = new Chat(model);
    const { session } = chat;
    for await (const _chunk of chat.send('hello', { ignoreEos: true, stop: 'zzzz' })) {
      chat.dispose();
      break;
    }
    expect(chat.session).toBe(session);
  });

  it('that outgrows the context is an error with a code, and stays what it was', async () => {
    using chat = new Chat(model, {}, [{ role: 'system', content: 'be' }]);
    await say(chat, 'hello');
    const before = [...chat.messages];
    await expect(say(chat, 'x'.repeat(60))).rejects.toMatchObject({ code: 'context_length_exceeded' });
    expect(chat.messages).toEqual(before);
    expect(await say(chat, 'on')).toHaveLength(4);
  });

  it('drops its oldest turns where told to, says which, and keeps the system message', async () => {
    const dropped: ChatMessage[] = [];
    using chat = new Chat(model, { onOverflow: 'evict', onDropped: (messages) => dropped.push(...messages) }, [
      { role: 'system', content: 'be' },
    ]);
    const said = ['onexxxxxxxxx', 'twoxxxxxxxxx', 'threexxxxxxx', 'fourxxxxxxxx'];
    for (const content of said) expect(await say(chat, content)).toHaveLength(4);
    expect(dropped.map(({ role }) => role)).toEqual(['user', 'assistant']);
    expect(dropped[0]?.content).toBe(said[0]);
    expect(chat.messages[0]).toEqual({ role: 'system', content: 'be' });
    expect(chat.messages.filter(({ role }) => role === 'user').map(({ content }) => content)).toEqual(said.slice(1));
    // What cannot fit even alone is an error all the same, and nothing is lost by it.
    const before = [...chat.messages];
    dropped.length = 0;
    await expect(say(chat, 'x'.repeat(80))).rejects.toMatchObject({ code: 'context_length_exceeded' });
    expect(chat.messages).toEqual(before);
    expect(dropped).toEqual([]);
  });
});
