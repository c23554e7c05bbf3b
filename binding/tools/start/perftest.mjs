// What perftest measured, from its own samples: with -U it prints each. What it makes of them itself is something else: its
// t_max is the second largest, and its t_avg and percentiles leave the two largest out.

/**
 * The samples that a perftest latency tool printed (-U, --report-unsorted), in µs, in the order of the messages.
 *
 * @param text all of its standard output
 * @param iterations what -n said: one sample fewer, for each is the time from a message to the next
 */
export function perftestSamples(text, iterations) {
  const lines = text.split('\n')
  const begin = lines.indexOf('#, usec') + 1
  const samples = new Float64Array(iterations - 1)
  for (let i = 0; i < samples.length; i++) {
    const [number, value] = (begin > 0 ? (lines[begin + i] ?? '') : '').split(',').map(Number)
    // On a busy machine it cannot calibrate its clock, and all times are inf.
    if (number !== i + 1 || !Number.isFinite(value))
      throw new Error(`these are no samples of perftest's:\n${text}`)
    samples[i] = value
  }
  return samples
}
