import { z } from 'zod';
import type { JsonValue } from '../suite.js';

/** Any JSON value, with the type that suites use for it. */
export const jsonSchema = z.json() as unknown as z.ZodType<JsonValue>;
