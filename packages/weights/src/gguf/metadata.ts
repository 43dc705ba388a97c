import type { MetadataValue } from '../weight-file.js';
import type { HeaderCursor } from './cursor.js';
import { type ValueType, valueBytes, valueTypes } from './types.js';

/** Above any vocabulary or list of merges. */
const maxElements = 2 ** 21;
const maxDepth = 4;

/** The typed form of a 64-bit integer: a number where that is exact. */
function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function scalar(cursor: HeaderCursor, type: Exclude<ValueType, 'string' | 'array'>): MetadataValue {
  switch (type) {
    case 'uint8':
      return cursor.u8();
    case 'int8':
      return cursor.i8();
    case 'uint16':
      return cursor.u16();
    case 'int16':
      return cursor.i16();
    case 'uint32':
      return cursor.u32();
    case 'int32':
      return cursor.i32();
    case 'float32':
      return cursor.f32();
    case 'float64':
      return cursor.f64();
    case 'uint64':
      return exact(cursor.u64());
    case 'int64':
      return exact(cursor.i64());
    case 'bool': {
      const value = cursor.u8();
      if (value > 1) throw cursor.error(`expected a bool of 0 or 1, found ${value}`);
      return value === 1;
    }
  }
}

async function readType(cursor: HeaderCursor): Promise<ValueType> {
  await cursor.need(4);
  const number = cursor.u32();
  const type = valueTypes[number];
  if (type === undefined) throw cursor.error(`expected a value type of 0 to ${valueTypes.length - 1}, found ${number}`);
  return type;
}

async function readValue(cursor: HeaderCursor, type: ValueType, depth: number): Promise<MetadataValue> {
  if (type === 'string') return cursor.string();
  if (type !== 'array') {
    const wait = cursor.need(valueBytes[type]);
    if (wait) await wait;
    return scalar(cursor, type);
  }
  if (depth === maxDepth) throw cursor.error(`expected arrays nested at most ${maxDepth} deep`);
  const elementType = await readType(cursor);
  const length = await cursor.count(valueBytes[elementType], maxElements);
  const values: MetadataValue[] = [];
  for (let i = 0; i < length; i++) {
    const text = elementType === 'string' ? cursor.stringAtHand() : undefined;
    if (text !== undefined) values.push(text);
    else if (elementType === 'string' || elementType === 'array') values.push(await readValue(cursor, elementType, depth + 1));
    else {
      const wait = cursor.need(valueBytes[elementType]);
      if (wait) await wait;
      values.push(scalar(cursor, elementType));
    }
  }
  return values;
}

/** Reads `count` key/value pairs. Only here the type of a value is known, so here `general.alignment` is checked to be a uint32. */
export async function readMetadata(cursor: HeaderCursor, count: number): Promise<Map<string, MetadataValue>> {
  const metadata = new Map<string, MetadataValue>();
  for (let i = 0; i < count; i++) {
    cursor.field = `key of metadata pair ${i}`;
    const key = await cursor.string();
    if (metadata.has(key)) throw cursor.error(`"${key.slice(0, 200)}" occurs twice`);
    cursor.field = key.slice(0, 200);
    const type = await readType(cursor);
    if (key === 'general.alignment' && type !== 'uint32') throw cursor.error(`expected a uint32, found a ${type}`);
    metadata.set(key, await readValue(cursor, type, 0));
  }
  return metadata;
}
