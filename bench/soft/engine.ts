/** The NIC engine of the software ConnectX alone, one core: ns per frame, against the bare copies of its bytes */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Bench } from '../harness/bench.js'
import type { Side } from '../harness/compare.js'

const batch = 32
const rounds = 4000
const variants = ['plain', 'checksums', 'two elements', 'inline', '64 flow rules'] as const

/** The engine contains no JavaScript: a C++ program steps it by hand, and times the copies in the same way. */
function build(project: string): string {
  const folder = join(project, 'build/engine')
  execFileSync('cmake', ['-S', join(project, 'tests/soft/engine'), '-B', folder], { stdio: 'pipe' })
  execFileSync('cmake', ['--build', folder, '--target', 'engine_bench', '--parallel', '2'], { stdio: 'pipe' })
  return join(folder, 'engine_bench')
}

function side(program: string, size: number, figures: readonly string[]): Side {
  return {
    run() {
      const args = [String(size), String(batch), String(rounds)]
      const result = JSON.parse(execFileSync(program, args, { encoding: 'utf8' }))
      return figures.map((figure) => result[figure])
    },
    close() {},
  }
}

const bench: Bench = {
  bed: 'host',
  async run(session) {
    const program = build(join(session.options.peerSources, '../..'))
    for (const size of [64, 1500]) {
      const shown = variants.filter((variant) => size <= 900 || variant !== 'inline')
      await session.compare({
        peer: 'memcpy',
        metrics: shown.map((variant) => ({
          case: `${size} B, batch ${batch}, ${variant}`,
          unit: 'ns/frame',
        })),
        ours: () => side(program, size, shown),
        theirs: () =>
          side(
            program,
            size,
            shown.map(() => 'copies'),
          ),
      })
    }
  },
}

export default bench
