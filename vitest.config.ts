import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Certificates that every Node reads when it starts, hundreds of times: nothing here speaks to the network.
delete process.env.NODE_EXTRA_CA_CERTS;

export default defineConfig({
  test: {
    pool: 'forks',
    // One more than there are CPUs: some tests wait for a disk or for a process.
    maxWorkers: availableParallelism() + 1,
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/build-cli.ts',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
