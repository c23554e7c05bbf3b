/** What the processes of a group are doing, for the report of a test that waited for them in vain (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs'

/** A file of /proc, or nothing once its process has gone. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

const numbers = (folder: string): string[] => {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
}

/** State, group and ticks of processor time: the fields behind the name, which may hold anything, parentheses too. */
function stat(folder: string): { state: string; group: number; ticks: number } | undefined {
  const text = read(`${folder}/stat`)
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 13) return undefined
  return { state: fields[0], group: Number(fields[2]), ticks: Number(fields[11]) + Number(fields[12]) }
}

/** A line for each process of the group, and one for each of its threads: its name, state, where it waits, its CPU time. */
export function describeGroup(leader: number): string {
  const lines: string[] = []
  for (const pid of numbers('/proc')) {
    const process = stat(`/proc/${pid}`)
    if (process?.group !== leader || process.state === 'Z') continue
    lines.push(`process ${pid}: ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 200)}`)
    for (const tid of numbers(`/proc/${pid}/task`)) {
      const task = `/proc/${pid}/task/${tid}`
      const thread = stat(task)
      if (thread === undefined) continue
      const [name, where, call] = ['comm', 'wchan', 'syscall'].map((file) => read(`${task}/${file}`).trim())
      lines.push(
        `  ${name} ${thread.state} in ${where}, system call ${call.split(' ', 4).join(' ')}, ${thread.ticks} ticks`,
      )
    }
  }
  return lines.join('\n')
}
