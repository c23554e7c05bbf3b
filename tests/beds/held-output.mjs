// The output of what runs beside something else: kept until its turn comes, so that two do not mix.

/**
 * @returns {{ stdout(chunk: Buffer | string): void, stderr(chunk: Buffer | string): void, release(): void }} what comes
 *   after `release` is written at once
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
