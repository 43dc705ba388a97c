export { difflibRatio, type EditRatio, fuzzRatio, levenshteinRatio } from './edit-similarity.js';
export {
  type FloatAwareJson,
  type JsonRow,
  type JsonValue,
  type MalformedRow,
  PythonFloat,
  parseJsonLines,
  parseWithFloats,
  readJsonLines,
  requireFiles,
} from './jsonl.js';
export { normalizeChinese, normalizeEnglish } from './normalize.js';
export { stemPorter } from './porter-stemmer.js';
export { parsePythonFloat, parsePythonInt, roundHalfEven, roundNumpy, sumNumpy } from './python-number.js';
export {
  codePoints,
  removeWhiteSpace,
  replaceBySpace,
  splitWords,
  squeezeSpaces,
  strip,
  stripStart,
  wholeWord,
} from './python-text.js';
export { type RougeOptions, rouge1, rougeL, rougeLsum } from './rouge-lines.js';
export { RECURSION_MOVES, type RougeLOptions, type RougeScore, rougeLSentences, rougeNSentences } from './rouge-sentences.js';
export { RowFields } from './row-fields.js';
export { guardScore, type ScoreErrorKind, scoreError } from './score-error.js';
export { createJiebaSegmenter, type Segmenter } from './segment.js';
export { fillTemplate, splitAtContext } from './template.js';
export { chineseCharacterF1, countItems, countShared, englishF1, tokenF1 } from './token-f1.js';
export { type HalfRounding, type PromptParts, type TextTokenizer, type TruncateOptions, truncateMiddle } from './truncate.js';
