export { estimateTokens } from './estimate-tokens.js';
export { type Fact, type FactDocument, type FactDocumentOptions, factDocument } from './fact-document.js';
export { demoModelPath } from './model-path.js';
export { demoKeys, unseenDemoKeys } from './wording.js';
