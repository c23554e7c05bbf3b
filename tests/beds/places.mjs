// Which beds run a test file: told by where it lies.

/** What is the kernel's own: its devices, its addresses, its objects. Not for the software ConnectX. */
const kernels = ['device', 'cli-devices', 'cli-ping', 'events', 'soft-rxe']

/** Of each bed that runs test files: the folders that it has, and what in them it leaves to others (a folder or a file). */
export const places = {
  native: { has: ['tests/'], leaves: ['tests/ethernet/', 'tests/verbs/'] },
  ethernet: { has: ['tests/ethernet/'], leaves: ['tests/ethernet/vm/'] },
  soft: { has: ['tests/verbs/'], leaves: kernels.map((name) => `tests/verbs/${name}.test.ts`) },
  rxe: { has: ['tests/verbs/', 'tests/ethernet/vm/'], leaves: [] },
}

/** The beds that run this file (a path from the project's folder). */
export function bedsOf(file) {
  const within = (place) => file === place || (place.endsWith('/') && file.startsWith(place))
  return Object.keys(places).filter((bed) => places[bed].has.some(within) && !places[bed].leaves.some(within))
}

/** vitest's words for a bed's files: these alone, or all that the bed has. */
export function filters(bed, files = []) {
  if (files.length > 0) return files
  const { has, leaves } = places[bed]
  return [...has, ...leaves.flatMap((place) => ['--exclude', place.endsWith('/') ? `${place}**` : place])]
}
