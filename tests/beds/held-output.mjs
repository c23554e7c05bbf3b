// Holds the output of a bed that runs beside others until its turn, so that the two do not mix.

/**
 * @returns {{ stdout(chunk: Buffer | string): void, stderr(chunk: Buffer | string): void, release(): void }} after
 *   `release` it writes at once
 */
export function heldOutput() {
  const held = []
  let released = false
  const to = (stream) => (chunk) => {
    if (released) stream.write(chunk)
    else held.push([stream, chunk])
  }
  return {
    stdout: to(process.stdout),
    stderr: to(process.stderr),
    release() {
      released = true
      for (const [stream, chunk] of held.splice(0)) stream.write(chunk)
    },
  }
}
