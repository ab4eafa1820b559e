import { crc32 } from 'node:zlib';
import type { Entry, ZipFile } from 'yauzl';
import { messageOf, WisemergeError } from '../../errors.js';
import type { Bytes, DataFile } from './data-file.js';

/** Compressed members are held in memory up to this many bytes. */
export const maxInflatedBytes = 2 ** 30;
// More arrays than anybody saves; keeps a crafted directory from taking all memory.
const maxMembers = 65_536;
// Deflate cannot compress further than 1032:1 (zlib, "Technical Details"): a higher claim is a false size.
const maxDeflateRatio = 1032;

/**
 * The bytes of one .npy member of an .npz archive. `choose` picks its name among all, given without `.npy`. A
 * stored member is read in place; a compressed one (numpy.savez_compressed) is held in memory.
 *
 * Throws ERR_DATA: not an archive, damaged, encrypted, a compression other than deflate, or above
 * `maxInflatedBytes`.
 */
export async function openNpzMember(
  file: DataFile,
  choose: (names: string[]) => string,
): Promise<{ readonly member: string; readonly bytes: Bytes }> {
  const { openPromise } = await import('yauzl');
  const zip = await openPromise(file.path, { autoClose: false }).catch((error) => {
    throw damaged(file, error);
  });
  try {
    const entries = await listArrays(zip, file);
    const member = choose(entries.map(({ fileName }) => arrayName(fileName)));
    const entry = entries.find(({ fileName }) => arrayName(fileName) === member)!;
    const name = `${file.path}:${member}`;
    if (!entry.canDecodeFileData()) {
      throw new WisemergeError('ERR_DATA', `${name} is encrypted, or not compressed by deflate`, {
        file: file.path,
        hint: 'Save it with numpy.savez.',
      });
    }
    const bytes =
      entry.compressionMethod === 0 ? await inPlace(zip, entry, file) : await inflate(zip, entry, file);
    return { member, bytes };
  } finally {
    zip.close();
  }
}

async function listArrays(zip: ZipFile, file: DataFile): Promise<Entry[]> {
  if (zip.entryCount > maxMembers) {
    throw new WisemergeError(
      'ERR_DATA',
      `${file.path} lists ${zip.entryCount} members; at most ${maxMembers} are read`,
      { file: file.path, hint: 'Save only the arrays of the set in it.' },
    );
  }
  const entries: Entry[] = [];
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith('.npy')) entries.push(entry);
    }
  } catch (error) {
    throw damaged(file, error);
  }
  return entries;
}

function arrayName(fileName: string): string {
  return fileName.slice(0, -'.npy'.length);
}

async function inPlace(zip: ZipFile, entry: Entry, file: DataFile): Promise<Bytes> {
  const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry).catch((error) => {
    throw damaged(file, error);
  });
  return file.part(fileDataStart, entry.uncompressedSize);
}

async function inflate(zip: ZipFile, entry: Entry, file: DataFile): Promise<Bytes> {
  const { uncompressedSize: size, compressedSize } = entry;
  const name = `${file.path}:${arrayName(entry.fileName)}`;
  if (size > maxInflatedBytes) {
    throw new WisemergeError(
      'ERR_DATA',
      `${name} is compressed and takes ${size} bytes; compressed arrays are read up to ${maxInflatedBytes}`,
      { file: file.path, hint: 'Save it with numpy.savez, or as .npy: these are read in pieces.' },
    );
  }
  if (size > maxDeflateRatio * compressedSize) {
    throw damaged(file, new Error(`${compressedSize} bytes cannot unfold into ${size}`));
  }
  const data = Buffer.alloc(size);
  let done = 0;
  let sum = 0;
  try {
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      const piece = chunk as Buffer;
      data.set(piece, done);
      done += piece.length;
      sum = crc32(piece, sum);
    }
  } catch (error) {
    throw damaged(file, error);
  }
  if (sum !== entry.crc32) throw damaged(file, new Error(`the checksum of ${entry.fileName} is wrong`));
  return {
    size,
    read: async (into, position) => {
      into.set(data.subarray(position, position + into.length));
    },
  };
}

function damaged({ path }: DataFile, cause: unknown): WisemergeError {
  const why = messageOf(cause);
  return new WisemergeError('ERR_DATA', `${path} is not a readable .npz archive: ${why}`, {
    file: path,
    hint: 'Copy the file again, or save it again with numpy.savez.',
    cause,
  });
}
