import { KvsiftError } from '@kvsift/tensor';
import { applyChatTemplate, type ChatMessage, type Tokenizer } from '@kvsift/tokenizer';

/** Text of a conversation by the model's own template. @throws KvsiftError `template_invalid` where it has none */
export function conversationText(tokenizer: Tokenizer, messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
  const { chatTemplate, bosId, eosIds } = tokenizer;
  if (chatTemplate === undefined) {
    throw new KvsiftError('template_invalid', 'this model has no chat template: pass the prompt as text');
  }
  const [eosId] = eosIds;
  return applyChatTemplate(chatTemplate, messages, {
    addGenerationPrompt,
    ...(bosId !== undefined && { bosToken: tokenizer.tokenText(bosId) }),
    ...(eosId !== undefined && { eosToken: tokenizer.tokenText(eosId) }),
  });
}
