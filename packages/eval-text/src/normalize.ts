import { ASCII_PUNCTUATION_CLASS, removeWhiteSpace, splitWords, wholeWord } from './python-text.js';

const PUNCTUATION = new RegExp(`[${ASCII_PUNCTUATION_CLASS}]`, 'g');
const ARTICLES = wholeWord('a|an|the', 'g');
/** ASCII punctuation and the 74 code points that the reference lists; 〈 〉 《 ． and · are missing there and stay. */
const CHINESE_PUNCTUATION = new RegExp(
  `[${ASCII_PUNCTUATION_CLASS}\\u2013\\u2014\\u2018\\u2019\\u201b-\\u201f\\u2026\\u2027\\u3001-\\u3003\\u300b-\\u3011\\u3014-\\u301f\\u3030\\u303e\\u303f\\ufe4f\\uff01-\\uff0d\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff64]`,
  'g',
);

/** SQuAD normalisation: lower case, ASCII punctuation deleted, then articles; the words that are left (Rajpurkar et al. 2016). */
export function normalizeEnglish(text: string): string[] {
  return splitWords(text.toLowerCase().replace(PUNCTUATION, '').replace(ARTICLES, ' '));
}

/** Lower case, ASCII and most CJK punctuation deleted, then all white space. */
export function normalizeChinese(text: string): string {
  return removeWhiteSpace(text.toLowerCase().replace(CHINESE_PUNCTUATION, ''));
}
