import { describe, expect, it } from 'vitest';
import { applyChatTemplate } from './chat.js';

const messages = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello' },
];

describe('applyChatTemplate', () => {
  it('gives the template what transformers gives it', () => {
    const template =
      "{{ bos_token }}{% if tools is not none %}[tools {{ tools | length }}]{% endif %}{% for message in messages %}\n{{ message['role'] + ': ' + message['content'] | trim + eos_token }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    expect(applyChatTemplate(template, messages, { bosToken: '<s>', eosToken: '</s>' })).toBe(
      '<s>user: Hi</s>\nassistant: Hello</s>\n',
    );
    const all = { addGenerationPrompt: true, tools: [{}, {}] };
    expect(applyChatTemplate(template, messages, all)).toBe('[tools 2]user: Hi\nassistant: Hello\nassistant:');
  });

  it('passes variables and further keys of a message', () => {
    const template = '{% if enable_thinking %}think {% endif %}{{ messages[0].name }}';
    expect(
      applyChatTemplate(template, [{ role: 'user', content: '', name: 'Ada' }], { variables: { enable_thinking: true } }),
    ).toBe('think Ada');
  });

  it.each([
    ['{% for x in %}', /chat template/],
    ['{{ messages[0].content | no_such_filter }}', /chat template/],
    ["{{ raise_exception('roles must alternate') }}", /chat template: roles must alternate/],
  ])('refuses %s', (template, message) => {
    const render = () => applyChatTemplate(template, messages);
    expect(render).toThrow(message);
    expect(render).toThrow(expect.objectContaining({ code: 'template_invalid' }));
  });
});
