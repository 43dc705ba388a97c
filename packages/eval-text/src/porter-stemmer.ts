/** Words that NLTK's extended mode maps by hand. */
const IRREGULAR: Readonly<Record<string, string>> = {
  sky: 'sky',
  skies: 'sky',
  dying: 'die',
  lying: 'lie',
  tying: 'tie',
  news: 'news',
  innings: 'inning',
  inning: 'inning',
  outings: 'outing',
  outing: 'outing',
  cannings: 'canning',
  canning: 'canning',
  howe: 'howe',
  proceed: 'proceed',
  exceed: 'exceed',
  succeed: 'succeed',
};

type Rule = readonly [suffix: string, replacement: string];

const STEP_2: readonly Rule[] = [
  ['ational', 'ate'],
  ['tional', 'tion'],
  ['enci', 'ence'],
  ['anci', 'ance'],
  ['izer', 'ize'],
  ['bli', 'ble'],
  ['alli', 'al'],
  ['entli', 'ent'],
  ['eli', 'e'],
  ['ousli', 'ous'],
  ['ization', 'ize'],
  ['ation', 'ate'],
  ['ator', 'ate'],
  ['alism', 'al'],
  ['iveness', 'ive'],
  ['fulness', 'ful'],
  ['ousness', 'ous'],
  ['aliti', 'al'],
  ['iviti', 'ive'],
  ['biliti', 'ble'],
  ['fulli', 'ful'],
];
const STEP_3: readonly Rule[] = [
  ['icate', 'ic'],
  ['ative', ''],
  ['alize', 'al'],
  ['iciti', 'ic'],
  ['ical', 'ic'],
  ['ful', ''],
  ['ness', ''],
];
const STEP_4 = 'al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize'.split(' ');

/** 'c' or 'v' per letter: a y after a consonant is a vowel, everything outside aeiou else a consonant. */
function shapeOf(word: string): string {
  let shape = '';
  for (const letter of word) shape += 'aeiou'.includes(letter) || (letter === 'y' && shape.endsWith('c')) ? 'v' : 'c';
  return shape;
}

/** The m of Porter's paper: how often a vowel is followed by a consonant. */
const measure = (stem: string) => shapeOf(stem).match(/vc/g)?.length ?? 0;
const hasVowel = (stem: string) => shapeOf(stem).includes('v');
/** Porter's *o: consonant, vowel, consonant other than w, x, y at the end; NLTK adds two-letter stems of vowel and consonant. */
const endsShort = (stem: string) => (shapeOf(stem).endsWith('cvc') && !/[wxy]$/.test(stem)) || shapeOf(stem) === 'vc';
const endsDouble = (stem: string) => stem.length > 1 && stem.at(-1) === stem.at(-2) && shapeOf(stem).endsWith('c');
const cut = (word: string, letters: number) => word.slice(0, word.length - letters);

/** The first rule whose suffix fits decides, also when its condition fails. */
function applyFirst(word: string, rules: readonly Rule[]): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix));
  if (rule === undefined) return word;
  const stem = cut(word, rule[0].length);
  return measure(stem) > 0 ? stem + rule[1] : word;
}

function removePlural(word: string): string {
  if (word.endsWith('ies')) return word.length === 4 ? cut(word, 1) : cut(word, 2);
  if (word.endsWith('sses')) return cut(word, 2);
  return word.endsWith('ss') || !word.endsWith('s') ? word : cut(word, 1);
}

function removePast(word: string): string {
  if (word.endsWith('ied')) return word.length === 4 ? cut(word, 1) : cut(word, 2);
  if (word.endsWith('eed')) return measure(cut(word, 3)) > 0 ? cut(word, 1) : word;
  const suffix = ['ed', 'ing'].find((ending) => word.endsWith(ending) && hasVowel(cut(word, ending.length)));
  if (suffix === undefined) return word;
  const stem = cut(word, suffix.length);
  if (/(?:at|bl|iz)$/.test(stem)) return `${stem}e`;
  if (endsDouble(stem)) return /[lsz]$/.test(stem) ? stem : cut(stem, 1);
  return measure(stem) === 1 && endsShort(stem) ? `${stem}e` : stem;
}

function step2(word: string): string {
  if (word.endsWith('alli') && measure(cut(word, 4)) > 0) return step2(cut(word, 2));
  const rewritten = applyFirst(word, STEP_2);
  if (rewritten !== word || STEP_2.some(([suffix]) => word.endsWith(suffix))) return rewritten;
  return word.endsWith('logi') && measure(cut(word, 3)) > 0 ? cut(word, 1) : word;
}

function step4(word: string): string {
  const suffix = STEP_4.find((ending) => word.endsWith(ending));
  if (suffix === undefined) return word;
  const stem = cut(word, suffix.length);
  return measure(stem) > 1 && (suffix !== 'ion' || /[st]$/.test(stem)) ? stem : word;
}

function removeFinalE(word: string): string {
  if (!word.endsWith('e')) return word;
  const stem = cut(word, 1);
  const m = measure(stem);
  return m > 1 || (m === 1 && !endsShort(stem)) ? stem : word;
}

/**
 * Porter's stemmer ("An algorithm for suffix stripping", 1980) with the extensions that NLTK 3.8 switches on by default, which is what
 * `rouge_score` uses; the original algorithm gives other stems ("days" → "dai", here "day").
 * @param word lower-case ASCII letters and digits
 */
export function stemPorter(word: string): string {
  const irregular = Object.hasOwn(IRREGULAR, word) ? IRREGULAR[word] : undefined;
  if (irregular !== undefined) return irregular;
  if (word.length <= 2) return word;
  let stem = removePast(removePlural(word));
  if (stem.endsWith('y') && stem.length > 2 && shapeOf(cut(stem, 1)).endsWith('c')) stem = `${cut(stem, 1)}i`;
  stem = removeFinalE(step4(applyFirst(step2(stem), STEP_3)));
  return stem.endsWith('ll') && measure(cut(stem, 1)) > 1 ? cut(stem, 1) : stem;
}
