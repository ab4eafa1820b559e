import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    pool: 'forks',
    // The default leaves a CPU to the runner, which needs next to nothing.
    maxWorkers: '100%',
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/build-cli.ts',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
