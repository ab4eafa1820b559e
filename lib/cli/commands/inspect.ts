import { basename } from 'node:path';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { formatShape } from '../../checkpoint/tensor.js';
import { formatBytes, formatCount, formatPlural, formatTable, printable } from '../format.js';
import { type OutputFlags, printResult, warn } from '../terminal.js';

export async function runInspect(path: string, flags: OutputFlags, signal: AbortSignal): Promise<void> {
  const { files, tensors, parameters, bytes, config, notes } = await openCheckpoint(path, { signal });
  const rows = [...tensors.values()];
  const result = {
    files: files.map(({ name, size, tensors: held, headerHash, metadata }) => ({
      name,
      bytes: size,
      tensors: held.length,
      headerXxh3: headerHash,
      metadata: Object.fromEntries(metadata),
    })),
    parameters,
    bytes,
    modelType: config?.model_type ?? null,
    notes,
    tensors: rows.map(({ name, dtype, shape, bytes: size, file, offset }) => ({
      name,
      dtype,
      shape,
      bytes: size,
      file: basename(file),
      offset,
    })),
  };
  for (const note of notes) warn(flags, printable(note));
  printResult(flags, result, () => {
    const table = formatTable(
      ['tensor', 'dtype', 'shape', 'bytes', 'file'],
      rows.map(({ name, dtype, shape, bytes: size, file }) => [
        printable(name),
        dtype,
        formatShape(shape),
        formatBytes(size),
        printable(basename(file)),
      ]),
      { left: [1, 2, 4] },
    );
    const type = typeof config?.model_type === 'string' ? `${printable(config.model_type)}, ` : '';
    return `${table}\n\n${type}${formatPlural(files.length, 'file')}, ${formatPlural(rows.length, 'tensor')}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}`;
  });
}
