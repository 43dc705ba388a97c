import { Template } from '@huggingface/jinja';
import { KvsiftError } from '@kvsift/tensor';

/** One turn of a conversation. Templates may read further keys (`tool_calls`, `name`, ...). */
export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [key: string]: unknown;
}

/** What a chat template is given besides the messages. */
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
      // transformers passes None, and templates tell it from undefined.
      documents: null,
      tools: tools ?? null,
      ...variables,
      messages,
      add_generation_prompt: addGenerationPrompt,
      bos_token: bosToken,
      eos_token: eosToken,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KvsiftError('template_invalid', `chat template: ${reason}`, { reason }, { cause: error });
  }
}
