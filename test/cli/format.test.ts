import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Progress } from '../../lib/checkpoint/progress.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNumber,
  formatPercent,
  formatPlural,
  formatTable,
  printable,
} from '../../lib/cli/format.js';
import { ProgressBar } from '../../lib/cli/progress-bar.js';

describe('figures for people', () => {
  it('are in decimal units', () => {
    expect([0, 999, 1000, 12_345, 123_456, 2.5e9, 7e15, 7e18].map(formatBytes)).toEqual([
      ...['0 B', '999 B', '1.00 kB', '12.3 kB', '123 kB', '2.50 GB', '7.00 PB', '7000 PB'],
    ]);
    expect([12, 1234, 5_600_000, 7.24e9].map(formatCount)).toEqual(['12', '1,234', '5.6 M', '7.24 B']);
    expect([400, 59_400, 61_000, 3_725_000].map(formatDuration)).toEqual([
      '0 s',
      '59 s',
      '1 min 1 s',
      '1 h 2 min',
    ]);
  });

  it('are rounded before their unit is chosen', () => {
    expect([999.4, 999.6, 9_999, 99_960, 999_499, 999_500, 999_999_999].map(formatBytes)).toEqual([
      ...['999 B', '1.00 kB', '10.0 kB', '100 kB', '999 kB', '1.00 MB', '1.00 GB'],
    ]);
    expect([999_949_999, 999_950_000].map(formatCount)).toEqual(['999.9 M', '1.00 B']);
  });

  it('count one thing in the singular', () => {
    expect([0, 1, 2].map((count) => formatPlural(count, 'file'))).toEqual(['0 files', '1 file', '2 files']);
  });

  it('are never rounded to a 0 or 1 that they are not', () => {
    expect([0, 1, 1e-9, 0.12345, 0.99999, 1e7, null].map(formatNumber)).toEqual([
      ...['0', '1', '1.00e-9', '0.1235', '1.000', '10000000', '–'],
    ]);
    expect([1, 0.99999, 0.5, 0].map(formatPercent)).toEqual(['100 %', '99.99 %', '50.00 %', '0.00 %']);
  });

  it('stand in columns of more rows than a call takes arguments', () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => [String(i), 'x']);
    expect(formatTable(['n', 'kind'], rows)).toMatch(/\n199999 {5}x$/);
  });

  it('stand in columns', () => {
    expect(
      formatTable(
        ['name', 'n', 'kind'],
        [
          ['a', '1', 'x'],
          ['long name', '100', 'y'],
        ],
        { left: [2] },
      ),
    ).toBe(['name         n  kind', 'a            1  x', 'long name  100  y'].join('\n'));
  });
});

describe('names from a checkpoint', () => {
  it('are printed without control characters', () => {
    expect(printable('model.layers.0.weight')).toBe('model.layers.0.weight');
    expect(printable('温度 \u{1f600}')).toBe('温度 \u{1f600}');
    expect(printable('\x1b[31mred\x1b[0m')).toBe('red');
    expect(printable('a\r\nb\x07c\x00\x90d')).toBe('a\ufffd\ufffdb\ufffdc\ufffd\ufffdd');
  });
});

describe('the progress bar', () => {
  const progress = (bytesDone: number): Progress => ({
    phase: 'check',
    bytesDone,
    bytesTotal: 100,
    bytesPerSec: 10,
    etaMs: 1000,
    tensor: undefined,
  });

  function drawn(...done: number[]): string {
    let text = '';
    const { isTTY } = process.stderr;
    process.stderr.isTTY = true;
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      text += chunk;
      return true;
    });
    onTestFinished(() => {
      write.mockRestore();
      process.stderr.isTTY = isTTY;
    });
    const bar = new ProgressBar({});
    for (const bytes of done) bar.listener(progress(bytes));
    return text;
  }

  it('fills from left to right', () => {
    expect(drawn(0)).toContain(`\r\x1b[K${'░'.repeat(24)} 0 % of 100 B, 10 B/s, 1 s left`);
    expect(drawn(50)).toContain(`${'█'.repeat(12)}${'░'.repeat(12)} 50 %`);
    expect(drawn(100)).toContain(`${'█'.repeat(24)} 100 %`);
  });

  it('is full, and no fuller, when a file turns out larger than its manifest says', () => {
    expect(drawn(250)).toContain(`${'█'.repeat(24)} 100 %`);
  });
});
