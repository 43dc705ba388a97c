import type { LayerInputs } from '@kvsift/policy-testkit';
import { type Backend } from '@kvsift/tensor';
import type { z } from 'zod';
import type { Finding } from '../forward/compare.js';
import { GoldenFile } from '../forward/golden-file.js';
import type { SuiteRun } from '../suite.js';
/** What the cases of one family need. */
export interface FamilyRun {
    readonly backend: Backend;
    readonly golden: GoldenFile;
    /** Layer numbers by the name of an input. */
    input(name: string): Promise<LayerInputs>;
}
/** Knows the cases of one family file. */
export interface Family<C> {
    readonly schema: z.ZodType<C>;
    /** Findings of one case, by quantity. */
    check(run: FamilyRun, values: C): Promise<Readonly<Record<string, Finding>>>;
}
/** Parses JSON of a golden file. @throws KvsiftError `file_malformed` */
export declare function readJson(path: string): Promise<unknown>;
/** Runs every case of a family file; tensors lie beside it, inputs in inputs.safetensors. */
export declare function checkFamily<C extends {
    readonly case: string;
}>(run: SuiteRun, file: string, family: Family<C>): Promise<void>;
/** The findings of a case in one line. */
export declare function worst(findings: Readonly<Record<string, Finding>>): Finding;
