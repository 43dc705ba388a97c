import { describe, expect, it } from 'vitest';
import { parseRunConfig, readRunConfig } from './config.js';

const least = { models: ['demo'], policies: ['snapkv'], budgets: ['20%', 512], suites: ['facts'] };

describe('run files', () => {
  it('fills in defaults', () => {
    expect(parseRunConfig(least, 'flags')).toEqual({
      ...{ models: [{ path: 'demo' }], policies: ['snapkv'], budgets: ['20%', '512'], suites: [{ suite: 'facts' }] },
      ...{ backend: 'cpu', question: 'aware', sharePrefill: false, chat: true, seed: 42, onError: 'continue', retention: 1 },
    });
  });

  it('reads YAML and JSON alike', () => {
    const yaml = 'models: [demo]\npolicies: [snapkv]\nbudgets: [20%, 512]\nsuites:\n  - suite: facts\n';
    expect(readRunConfig(yaml, 'run.yaml')).toEqual(readRunConfig(JSON.stringify(least), 'run.json'));
  });

  it.each([
    [{ ...least, polices: [] }, 'polices'],
    [{ ...least, models: [] }, 'models'],
    [{ ...least, seed: -1 }, 'seed'],
    [{ ...least, suites: [{ suite: 'facts', limit: 0 }] }, 'suites'],
    [{ ...least, budgets: [0.2] }, 'budgets.0: expected 512 (tokens), 20% (of the prompt) or 64MiB (whole cache), got 0.2'],
    ['snapkv', 'run.yaml: the whole'],
  ])('names the field that is wrong: %j', (value, name) => {
    expect(() => parseRunConfig(value, 'run.yaml')).toThrow(name);
    expect(() => parseRunConfig(value, 'run.yaml')).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });

  it('says where YAML breaks, in one line', () => {
    expect(() => readRunConfig('models: [demo\npolicies: ]', 'run.yaml')).toThrow(/^run\.yaml: .+$/);
  });
});
