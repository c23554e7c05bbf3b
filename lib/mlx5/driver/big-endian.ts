/** A number as a word in a ring. */
export function bigEndian(value: number): number {
  const word = new Int32Array(1)
  new DataView(word.buffer).setUint32(0, value)
  return word[0]
}
