import { InvalidArgumentError } from 'commander';

/** Reads the value of an option that is a number from `low` to `high`, and says what was wrong with it. */
export const number =
  (low: number, high = Number.MAX_SAFE_INTEGER, whole = false) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== '' && value >= low && value <= high && (!whole || Number.isInteger(value))) return value;
    const upTo = high === Number.MAX_SAFE_INTEGER ? '' : ` to ${high}`;
    throw new InvalidArgumentError(`expected a ${whole ? 'whole ' : ''}number from ${low}${upTo}`);
  };

/** The same for whole numbers. */
export const whole = (low: number, high?: number) => number(low, high, true);
