export { VerbsError } from './errors.js'
export { Arena, type ArenaOptions } from './ring/arena.js'
