import type { DecodedEntry, DecodedField } from '../../mlx5/index.js'

/** The fields of a doorbell record that differ, with what they were. */
export function changes(before: DecodedEntry, after: DecodedEntry): (DecodedField & { was: string })[] {
  const [old, now] = [before, after].map(({ segments }) => segments.flatMap(({ fields }) => [...fields]))
  return now.flatMap((field, i) => (field.text === old[i].text ? [] : [{ ...field, was: old[i].text }]))
}
