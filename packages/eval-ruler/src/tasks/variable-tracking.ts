import { assemble, type Generated, type GeneratorSetting, textOf } from '../generated.js';
import { RandomStream } from '../random.js';
import { SampleSizer, type SizedGenerator } from '../size-search.js';
import { BASE_FACTS, NOISE_LINE, type TaskRecipe } from '../task-facts.js';

type TrackingRecipe = Extract<TaskRecipe, { base: 'vt' }>;

const EXAMPLE_VALUE = '12345';
const EXAMPLE_TOKENS = 500;
const CAPITALS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** Names of `letters` random capitals, all different and none of `taken`. */
function drawNames(count: number, letters: number, random: RandomStream, taken: readonly string[] = []): string[] {
  const names = new Set(taken);
  while (names.size < taken.length + count) names.add(Array.from({ length: letters }, () => random.pick([...CAPITALS])).join(''));
  return [...names].slice(taken.length);
}

const drawValue = (random: RandomStream) => String(random.between(10_000, 99_998));

/** `VAR A = value`, `VAR B = VAR A `, … among noise lines; the space at the end of a link is the reference's. */
function chainAmongNoise(names: readonly string[], value: string, noise: number, random: RandomStream): string {
  const chain = names.map((name, i) => (i === 0 ? `VAR ${name} = ${value}` : `VAR ${name} = VAR ${names[i - 1]} `));
  const lines = Array.from({ length: noise }, () => NOISE_LINE);
  const positions = random.distinct(noise, chain.length).sort((a, b) => a - b);
  chain.forEach((line, i) => {
    lines.splice((positions[i] ?? 0) + i, 0, line);
  });
  return lines.join('\n');
}

const { template, answerPrefix } = BASE_FACTS.vt;

/** A worked example of at most 500 tokens without its answer, with names of three letters; made once per task. */
function makeExample(names: readonly string[], setting: GeneratorSetting): string {
  const plain = { ...setting, modelTemplate: '{task_template}', length: EXAMPLE_TOKENS };
  const make = (size: number, { own }: { own: RandomStream }): Generated => ({
    ...assemble(
      template,
      answerPrefix,
      { context: chainAmongNoise(names, EXAMPLE_VALUE, size, own), query: EXAMPLE_VALUE, num_v: String(names.length) },
      plain,
    ),
    outputs: names,
  });
  const sample = new SampleSizer({ unit: 5, make }, plain, 0).sample(0);
  return `${textOf(sample)} ${names.join(' ')}\n\n`;
}

/**
 * Variable tracking (section 3.2): one chain of assignments; asked are all names that hold its value. A worked example precedes the
 * question, its names and value renewed in every sample.
 */
export function trackingGenerator({ hops }: TrackingRecipe, setting: GeneratorSetting): SizedGenerator {
  const count = hops + 1;
  const exampleNames = drawNames(count, 3, new RandomStream({ seed: setting.seed, sample: 0, purpose: 3 }));
  const pattern = new RegExp([...exampleNames, EXAMPLE_VALUE].join('|'), 'g');
  let example: string | undefined;

  function make(size: number, { own }: { own: RandomStream }): Generated {
    example ??= makeExample(exampleNames, setting);
    const renewed = [...drawNames(count, 3, own, exampleNames), drawValue(own)];
    const places = new Map([...exampleNames, EXAMPLE_VALUE].map((text, i) => [text, renewed[i] ?? '']));
    const names = drawNames(count, 5, own);
    const value = drawValue(own);
    const sample = assemble(
      `{example}${template}`,
      answerPrefix,
      {
        example: example.replace(pattern, (text) => places.get(text) ?? text),
        context: chainAmongNoise(names, value, size, own),
        query: value,
        num_v: String(count),
      },
      setting,
    );
    return { ...sample, outputs: names };
  }
  return { unit: setting.length < 4096 ? 5 : 10, make };
}
