import { configDefaults, defineConfig } from 'vitest/config'

// The beds (tests/beds/run.mjs) choose the folders: native tests run on this machine as it is, tests/ethernet in a
// network namespace of its own, tests/verbs in the VM that has SoftRoCE.
export default defineConfig({
  test: {
    pool: 'forks',
    // The built library is loaded as its users load it, not through Vite, which would take longer.
    server: { deps: { external: [/\/dist\//] } },
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/beds/setup.ts', ...(process.env.IBVERBS_DRIVEN ? ['tests/beds/driven.ts'] : [])],
    // What takes a processor for itself, or more than seconds: `npm run test:long` has it.
    exclude: [...configDefaults.exclude, ...(process.env.IBVERBS_LONG ? [] : ['tests/**/*.long.test.ts'])],
    // Limits for what hangs: nothing is to fail for being slow beside a load.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    execArgv: ['--expose-gc'],
  },
})
