import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

/**
 * A TCP port that nothing listens on, below those that the kernel gives to clients (ip(7), ip_local_port_range): a
 * client's end of any other connection could hold one of those at any time, also in TIME_WAIT.
 */
export async function freePort(): Promise<number> {
  const [low] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1').split('\t')
  for (let tries = 0; tries < 100; tries++) {
    const port = 10_000 + Math.floor(Math.random() * (Number(low) - 10_000))
    if (await listens(port)) return port
  }
  throw new Error(`no free TCP port between 10000 and ${low} in 100 tries`)
}

/** Whether a socket could listen on the port, at all addresses of both families. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
