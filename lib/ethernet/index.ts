export { Arena, type ArenaOptions } from '../ring/arena.js'
