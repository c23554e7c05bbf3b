/** The end of a control socket that asks. */
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { codeOf, controlError } from './error.js'
import { type Answer, longestAnswer, protocolVersion, type Request } from './protocol.js'

/** Milliseconds for an answer, which costs the program one turn of its event loop. */
const patience = 3000

/**
 * Asks a program.
 *
 * @param who what to call it in errors
 * @throws Error ERR_IBVERBS_CONTROL in words, with the system error as its cause
 */
export async function ask(path: string, who: string, request: Omit<Request, 'version'>): Promise<Answer> {
  const time = AbortSignal.timeout(patience)
  const socket = createConnection({ path })
  // The awaited operations report errors; without a listener, an error between them would end the process.
  socket.on('error', () => {})
  try {
    await once(socket, 'connect', { signal: time })
    socket.setEncoding('utf8')
    socket.write(`${JSON.stringify({ version: protocolVersion, ...request })}\n`)
    let text = ''
    const stop = (): void => {
      socket.destroy()
    }
    time.addEventListener('abort', stop)
    for await (const part of socket) {
      text += part as string
      const end = text.indexOf('\n')
      if (end >= 0) return parsed(text.slice(0, end), who)
      if (text.length > longestAnswer)
        throw controlError(`${who} answered with more than ${longestAnswer} bytes`)
    }
    time.throwIfAborted()
    throw controlError(`${who} ended before it had answered`)
  } catch (error) {
    throw explained(error, who, time)
  } finally {
    socket.destroy()
  }
}

function parsed(text: string, who: string): Answer {
  let answer: (Answer & { version?: unknown; error?: unknown }) | null
  try {
    answer = JSON.parse(text)
  } catch (cause) {
    throw controlError(`${who} answered with something else than JSON`, cause)
  }
  if (typeof answer !== 'object' || answer === null) throw controlError(`${who} answered with no object`)
  if (answer.version !== protocolVersion) {
    throw controlError(
      `${who} speaks version ${JSON.stringify(answer.version) ?? 'none'} of the control protocol, this program version ` +
        `${protocolVersion}: use the ibverbs of its own release`,
    )
  }
  if (answer.error !== undefined) throw controlError(`${who} answered: ${String(answer.error).slice(0, 200)}`)
  return answer
}

function explained(error: unknown, who: string, time: AbortSignal): unknown {
  if (codeOf(error) === 'ERR_IBVERBS_CONTROL') return error
  if (time.aborted) {
    const why = 'its event loop is busy with something else, or the process is stopped'
    return controlError(`${who} does not answer within ${patience / 1000} s: ${why}`, error)
  }
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return controlError(`${who} may not be asked: its socket is another user's`, error)
    case 'ENOENT':
    case 'ECONNREFUSED':
      return controlError(`${who} has ended, or closed its control socket`, error)
    case 'EPIPE':
    case 'ECONNRESET':
      return controlError(`${who} ended before it had answered`, error)
    default:
      return error
  }
}
