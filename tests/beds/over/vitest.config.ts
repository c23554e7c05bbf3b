import { defineConfig } from 'vitest/config'

/** For tests that must fail: tests/beds/over.test.ts runs them. */
export default defineConfig({
  test: { pool: 'forks', include: ['tests/beds/over/*.fixture.ts'], setupFiles: ['tests/beds/setup.ts'] },
})
