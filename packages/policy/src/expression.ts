import { isKvsiftError, KvsiftError } from '@kvsift/tensor';
import { closestMatch } from 'leven';
import type { EvictionPolicy, ParameterValue } from './contract.js';
import { defaultOf, type ParameterDefinition, unknownParameter } from './parameters.js';
import type { PolicyRegistry } from './registry.js';

/** A name with arguments; a bare word is one without. `column` counts from 1. */
interface Call {
  readonly column: number;
  readonly name: string;
  readonly arguments: readonly Argument[];
}

interface Argument {
  readonly column: number;
  readonly name?: string;
  readonly value: Call | string | number | readonly number[];
}

/**
 * Makes the policy of an expression: `adakv(snapkv(window=32, pooling=max), floor=0.2)`. Arguments without a name are wrapped policies;
 * `profile=factory` replaces the defaults.
 * @throws KvsiftError `policy_unknown` (with the names that exist) or `policy_invalid`; both say the column
 */
export function parsePolicy(text: string, registry: PolicyRegistry): EvictionPolicy {
  return build(new Reader(text).whole(), text, registry);
}

/** The expression of a policy with all its parameters; with a registry, those at their defaults are left out. Parsing it gives an equal policy. */
export function formatPolicy(policy: EvictionPolicy, registry?: PolicyRegistry): string {
  const schema = registry?.factories.get(policy.name)?.definition.parameters ?? {};
  const parts = Object.entries(policy.parameters).flatMap(([name, value]) => {
    const definition = schema[name];
    const usual = definition === undefined ? undefined : defaultOf(definition);
    const text = formatValue(value, registry);
    return usual !== undefined && formatValue(usual, registry) === text ? [] : [isPolicy(value) ? text : `${name}=${text}`];
  });
  return parts.length === 0 ? policy.name : `${policy.name}(${parts.join(', ')})`;
}

function formatValue(value: ParameterValue, registry: PolicyRegistry | undefined): string {
  if (isPolicy(value)) return formatPolicy(value, registry);
  if (typeof value === 'string') return /^[A-Za-z][\w-]*$/.test(value) ? value : JSON.stringify(value);
  return Array.isArray(value) ? `[${value.join(', ')}]` : `${value}`;
}

function isPolicy(value: ParameterValue): value is EvictionPolicy {
  return typeof value === 'object' && 'begin' in value;
}

function build(call: Call, text: string, registry: PolicyRegistry): EvictionPolicy {
  const preset = registry.presets.get(call.name);
  if (preset !== undefined && call.arguments.length === 0) return parsePolicy(preset.expression, registry);
  const factory = registry.factories.get(call.name);
  if (factory === undefined) {
    const known = [...registry.factories.keys(), ...registry.presets.keys()].sort();
    const meant = closestMatch(call.name.toLowerCase(), known, { maxDistance: Math.ceil(call.name.length / 3) });
    const list = `${meant === undefined ? '' : `did you mean ${meant}? `}known: ${known.join(', ')}`;
    const hint = preset === undefined ? `no policy '${call.name}'; ${list}` : `the preset ${call.name} takes no parameters`;
    throw failure('policy_unknown', text, call.column, hint);
  }
  const { parameters: schema } = factory.definition;
  const wrapped = Object.entries(schema).filter(([, { kind }]) => kind === 'policy' || kind === 'scored');
  const options: Record<string, unknown> = {};
  let position = 0;
  for (const argument of call.arguments) {
    const name = argument.name ?? wrapped[position++]?.[0];
    if (name === undefined)
      throw failure('policy_invalid', text, argument.column, `${call.name}: write parameters as name=value`);
    if (name in options) throw failure('policy_invalid', text, argument.column, `${call.name}: '${name}' is given twice`);
    const definition = schema[name];
    if (definition === undefined && name !== 'profile')
      throw at(unknownParameter(call.name, schema, name), text, argument.column);
    options[name] = plainValue(argument, definition, text, registry);
  }
  try {
    return factory(options as never);
  } catch (error) {
    throw isKvsiftError(error) ? at(error, text, call.column) : error;
  }
}

/** The value of an argument; words mean what the parameter's kind makes of them. */
function plainValue(
  argument: Argument,
  definition: ParameterDefinition | undefined,
  text: string,
  registry: PolicyRegistry,
): unknown {
  const { value } = argument;
  if (typeof value !== 'object' || !('name' in value)) return value;
  if (definition?.kind === 'policy' || definition?.kind === 'scored') return build(value, text, registry);
  if (value.arguments.length > 0)
    throw failure('policy_invalid', text, argument.column, `a policy is not expected here: '${value.name}'`);
  if (definition?.kind === 'flag' && (value.name === 'true' || value.name === 'false')) return value.name === 'true';
  return value.name;
}

function at(error: KvsiftError, text: string, column: number): KvsiftError {
  return error.details.column !== undefined ? error : failure(error.code, text, column, error.message, error.details);
}

function failure(
  code: KvsiftError['code'],
  text: string,
  column: number,
  message: string,
  details: KvsiftError['details'] = {},
): KvsiftError {
  return new KvsiftError(code, `policy '${text}', column ${column}: ${message}`, { ...details, expression: text, column });
}

/** Reads an expression from left to right. */
class Reader {
  #at = 0;

  constructor(private readonly text: string) {}

  whole(): Call {
    const call = this.#call();
    if (this.#at < this.text.length) throw this.#wrong('the end');
    return call;
  }

  #call(): Call {
    const column = this.#skip() + 1;
    const name = this.#match(/[A-Za-z][\w-]*/y);
    if (name === undefined) throw this.#wrong('a policy name');
    const args: Argument[] = [];
    if (this.#take('(') && !this.#take(')')) {
      do args.push(this.#argument());
      while (this.#take(','));
      if (!this.#take(')')) throw this.#wrong("',' or ')'");
    }
    this.#skip();
    return { column, name, arguments: args };
  }

  #argument(): Argument {
    const column = this.#skip() + 1;
    const name = this.#match(/[A-Za-z]\w*(?=\s*=)/y);
    if (name !== undefined) this.#take('=');
    return { column, ...(name !== undefined && { name }), value: this.#value(name !== undefined) };
  }

  #value(named: boolean): Argument['value'] {
    if (this.#take('[')) {
      const items: number[] = [];
      if (this.#take(']')) return items;
      do items.push(this.#number());
      while (this.#take(','));
      if (!this.#take(']')) throw this.#wrong("',' or ']'");
      return items;
    }
    this.#skip();
    const quoted = this.#match(/"(?:[^"\\]|\\.)*"/y);
    if (quoted !== undefined) return this.#text(quoted);
    const next = this.text[this.#at] ?? '';
    if (named && !/[-+.\w]/.test(next)) throw this.#wrong('a number, a word, a policy, [numbers] or "text"');
    return /[-+.\d]/.test(next) ? this.#number() : this.#call();
  }

  /** What a text in quotes says, written as in JSON. */
  #text(quoted: string): string {
    try {
      return JSON.parse(quoted) as string;
    } catch {
      this.#at -= quoted.length;
      throw this.#wrong('a text as in JSON, where \\ is written \\\\');
    }
  }

  #number(): number {
    this.#skip();
    const digits = this.#match(/[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/iy);
    if (digits === undefined) throw this.#wrong('a number');
    return Number(digits);
  }

  #take(symbol: string): boolean {
    this.#skip();
    if (this.text[this.#at] !== symbol) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #skip(): number {
    this.#match(/\s+/y);
    return this.#at;
  }

  #wrong(expected: string): KvsiftError {
    const found = this.#at < this.text.length ? `'${this.text[this.#at]}'` : 'the end';
    return failure('policy_invalid', this.text, this.#at + 1, `expected ${expected}, found ${found}`);
  }
}
