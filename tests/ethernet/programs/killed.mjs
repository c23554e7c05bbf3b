// Opens an AF_XDP queue, prints the program on the interface, and is killed. Usage: killed.mjs INTERFACE
import { execFileSync } from 'node:child_process'
import { writeSync } from 'node:fs'
import { PacketQueue } from 'ibverbs/ethernet'

const [name] = process.argv.slice(2)
PacketQueue.open(name, { backend: 'af_xdp' })
const shown = execFileSync('ip', ['-d', 'link', 'show', name], { encoding: 'utf8' })
writeSync(1, `${/\bprog\/(xdp\w*)/.exec(shown)?.[1]}\n`)
process.kill(process.pid, 'SIGKILL')
