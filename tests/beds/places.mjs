// Decides by a test file's folder which beds run it.

import { files as undrivenFiles } from './undriven.mjs'

/** Tests of the kernel: its devices, addresses and objects. Not for the software ConnectX. */
const kernels = ['device', 'cli-devices', 'cli-ping', 'events', 'soft-rxe']

/** For each bed that runs test files: its folders, and the folders or files in them that it excludes. */
export const places = {
  native: { has: ['tests/'], leaves: ['tests/ethernet/', 'tests/pages/', 'tests/verbs/'] },
  pages: { has: ['tests/pages/'], leaves: [] },
  ethernet: { has: ['tests/ethernet/'], leaves: ['tests/ethernet/vm/'] },
  soft: { has: ['tests/verbs/'], leaves: kernels.map((name) => `tests/verbs/${name}.test.ts`) },
  driven: {
    has: ['tests/verbs/'],
    leaves: [...kernels, ...undrivenFiles].map((name) => `tests/verbs/${name}.test.ts`),
  },
  rxe: { has: ['tests/verbs/', 'tests/ethernet/vm/'], leaves: [] },
}

/** The beds that run this file (a path from the project's folder). */
export function bedsOf(file) {
  const within = (place) => file === place || (place.endsWith('/') && file.startsWith(place))
  return Object.keys(places).filter((bed) => places[bed].has.some(within) && !places[bed].leaves.some(within))
}

/** vitest's filters for a bed: these files, or all of the bed's. */
export function filters(bed, files = []) {
  if (files.length > 0) return files
  const { has, leaves } = places[bed]
  return [...has, ...leaves.flatMap((place) => ['--exclude', place.endsWith('/') ? `${place}**` : place])]
}
