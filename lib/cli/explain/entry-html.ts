/** An entry of a ring as HTML: its bytes, and its fields, which light up together (page-script.ts). */
import { hexBytes } from '../../mlx5/decode/entry.js'
import { namedFields, placeOf } from '../../mlx5/decode/text.js'
import type { DecodedEntry, DecodedField, DecodedSegment } from '../../mlx5/index.js'
import { type Html, html } from '../../pages/html.js'

/** Bytes, each with its offset: what a field covers lights up. */
export function row(bytes: Uint8Array, from = 0, label = '', changed?: Uint8Array): Html {
  const each = Array.from(bytes, (byte, i) => {
    const mark = changed !== undefined && changed[i] !== byte ? html` class="changed"` : ''
    return html`<b data-at="${from + i}"${mark}>${hexBytes(bytes.subarray(i, i + 1))}</b>`
  })
  return html`<div class="bytes">${label === '' ? '' : html`<span class="label">${label}</span>`}<span>${each}</span></div>`
}

export function entryHtml(entry: DecodedEntry): Html {
  const why =
    'explanation' in entry && entry.explanation ? html`<p class="note">${entry.explanation}</p>` : ''
  return html`<p class="note">${entry.title}</p>
${why}${entry.segments.map((segment) => segmentHtml(segment, entry.bytes))}`
}

function segmentHtml(segment: DecodedSegment, bytes: Uint8Array): Html {
  const { title, struct, source, offset, length, fields } = segment
  const named = namedFields(fields)
  // What has no field of its own lights up as a whole.
  const whole = named.length === 0 ? html` data-bytes="${offset}-${offset + length}"` : ''
  return html`<h3${whole}>${title} <a class="note" href="${source.url}">struct ${struct}</a></h3>
${row(bytes.subarray(offset, offset + length), offset)}
${named.length === 0 ? '' : html`<table>${named.map(fieldHtml)}</table>`}
`
}

export function fieldHtml(field: DecodedField): Html {
  const { name, text, offset, length } = field
  return html`<tr data-bytes="${offset}-${offset + length}"><td>${name}</td><td class="value">${text}</td><td class="place">${placeOf(field)}</td></tr>`
}
