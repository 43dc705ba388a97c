import data from './wording.json' with { type: 'json' };

/** Splits lines of words separated by spaces. */
const words = (lines: readonly string[]): readonly string[] => lines.join(' ').split(' ');

/** The words that fill `{noun}`, `{adjective}` and `{verb}`. */
export const slotWords: Readonly<Record<string, readonly string[]>> = {
  noun: words(data.filler.nouns),
  adjective: words(data.filler.adjectives),
  verb: words(data.filler.verbs),
};

/** What fills `{place}`; itself with slots. */
export const places: readonly string[] = data.filler.places;

/** Filler sentences with slots. */
export const fillerSentences: readonly string[] = data.filler.sentences;

/** Sentences that state a fact: `{key}` and `{value}`. */
export const factSentences: readonly string[] = data.facts;

/** The question for a fact, up to where the model goes on with the value: `{key}`. */
export const questionSentence: string = data.question;

/** Words that the model was trained on as keys. */
export const demoKeys: readonly string[] = words(data.keys);

/** Words that were held out of training, tokenizer included. */
export const unseenDemoKeys: readonly string[] = words(data.unseenKeys);
