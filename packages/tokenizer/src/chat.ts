import { Template } from '@huggingface/jinja';
import { KvsiftError } from '@kvsift/tensor';
import type { Tokenizer } from './tokenizer.js';

/** One turn of a conversation. Templates may read further keys (`tool_calls`, `name`, ...). */
export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** End with the opening of the assistant's turn. Default false. */
  readonly addGenerationPrompt?: boolean;
  readonly bosToken?: string;
  readonly eosToken?: string;
  /** Function descriptions for templates that offer tools. */
  readonly tools?: readonly unknown[];
  /** Further variables of the template (`enable_thinking`, ...). */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * Renders a conversation with a Jinja chat template as transformers' `apply_chat_template` does (blocks trimmed on both sides).
 * @throws KvsiftError `template_invalid` where the template does not parse, fails, or refuses the conversation (`raise_exception`)
 */
export function applyChatTemplate(template: string, messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
  const { addGenerationPrompt = false, bosToken = '', eosToken = '', tools, variables } = options;
  try {
    return new Template(template).render({
      ...variables,
      messages,
      add_generation_prompt: addGenerationPrompt,
      bos_token: bosToken,
      eos_token: eosToken,
      ...(tools && { tools }),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KvsiftError('template_invalid', `chat template: ${reason}`, { reason }, { cause: error });
  }
}

/** Text of a conversation in the model's own format. @throws KvsiftError `template_invalid`, also where the model has no template */
export function chatText(tokenizer: Tokenizer, messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
  if (tokenizer.chatTemplate === undefined) {
    throw new KvsiftError(
      'template_invalid',
      'chat template: expected one with the model, found none; give the prompt as plain text',
    );
  }
  const text = (id: number | undefined) => (id === undefined ? {} : tokenizer.tokenText(id));
  const bosToken = text(tokenizer.bosId);
  const eosToken = text(tokenizer.eosIds[0]);
  return applyChatTemplate(tokenizer.chatTemplate, messages, {
    ...(typeof bosToken === 'string' && { bosToken }),
    ...(typeof eosToken === 'string' && { eosToken }),
    ...options,
  });
}

/** Ids of a conversation. The template writes BOS itself where the model wants it, so none is added. */
export function encodeChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions = {},
): Int32Array {
  return tokenizer.encode(chatText(tokenizer, messages, options), { addSpecial: false });
}
