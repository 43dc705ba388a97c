import { KvsiftError } from '@kvsift/tensor';
import { openWeights, type WeightFile } from '@kvsift/weights';

/** Numbers of one golden tensor. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}

/** The tensors of a golden .safetensors file, read when asked for. */
export class GoldenFile {
  private constructor(private readonly file: WeightFile) {}

  static async open(path: string): Promise<GoldenFile> {
    return new GoldenFile(await openWeights(path));
  }

  get names(): string[] {
    return [...this.file.tensors.keys()];
  }

  has(name: string): boolean {
    return this.file.tensors.has(name);
  }

  async read(name: string): Promise<GoldenTensor> {
    const stored = this.file.tensor(name);
    if (stored.dtype === 'i32') {
      const bytes = await this.file.readBytes(stored);
      return { shape: stored.shape, values: new Int32Array(bytes.slice().buffer) };
    }
    return { shape: stored.shape, values: await this.file.readFloat32(stored) };
  }

  async floats(name: string): Promise<Float32Array> {
    const { values } = await this.read(name);
    if (values instanceof Float32Array) return values;
    throw new KvsiftError('data_malformed', `${name}: expected f32 values`);
  }

  async integers(name: string): Promise<Int32Array> {
    const { values } = await this.read(name);
    if (values instanceof Int32Array) return values;
    throw new KvsiftError('data_malformed', `${name}: expected i32 values`);
  }
}
