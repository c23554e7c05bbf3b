/** A conversation as a page that steps through it. */
import { hexBytes } from '../../mlx5/decode/entry.js'
import { namedFields, placeOf } from '../../mlx5/decode/text.js'
import type { DecodedEntry, DecodedField, DecodedSegment } from '../../mlx5/index.js'
import { type Html, html } from '../../pages/html.js'
import { pageText } from '../../pages/page.js'
import { frameText } from '../frame/frame-text.js'
import { changes } from './changes.js'
import type { Conversation, Step } from './conversation.js'
import { conversationJson } from './json.js'
import { script } from './page-script.js'
import { style } from './page-style.js'
import { roceText } from './roce-text.js'

export function conversationPage(conversation: Conversation): string {
  const { device, kind, steps } = conversation
  const title = `${kind === 'frame' ? 'A frame' : `An RC ${kind}`} on ${device}, byte by byte`
  const body = html`<header>
<h1>${title}</h1>
<p>What a program and a ConnectX say to each other for one request: entries of rings, doorbell records, a register,
frames, completions. Every field has its name in C, and its structure a link to where it is defined. Fields are
big-endian.</p>
</header>
<ol>
${steps.map((step, i) => stepHtml(step, i + 1))}
</ol>
<nav hidden><button id="back">Back</button><button id="play">Play</button><button id="next">Next</button><span id="count">${steps.length} steps</span></nav>`
  return pageText({ title, body, style, script, data: JSON.parse(conversationJson(conversation)) })
}

function stepHtml(step: Step, number: number): Html {
  const { side, title, entry, before, bytes } = step
  return html`<li class="step ${side}"><h2><b>${number}. ${side}</b> ${title}</h2>
${bytes ? bytesHtml(side, bytes) : ''}${entry ? (before ? changeHtml(before, entry) : entryHtml(entry)) : ''}</li>
`
}

/** Bytes, each with its offset: what a field covers lights up. */
function row(bytes: Uint8Array, from = 0, label = '', changed?: Uint8Array): Html {
  const each = Array.from(bytes, (byte, i) => {
    const mark = changed !== undefined && changed[i] !== byte ? html` class="changed"` : ''
    return html`<b data-at="${from + i}"${mark}>${hexBytes(bytes.subarray(i, i + 1))}</b>`
  })
  return html`<div class="bytes">${label === '' ? '' : html`<span class="label">${label}</span>`}<span>${each}</span></div>`
}

function bytesHtml(side: Step['side'], bytes: Uint8Array): Html {
  const words = side === 'wire' ? [frameText(bytes, { link: true }), roceText(bytes)] : []
  const notes = words.filter((text) => text !== undefined).map((text) => html`<p class="note">${text}</p>`)
  return html`${notes}<div data-bytes="0-${bytes.length}">${row(bytes)}</div>
`
}

function entryHtml(entry: DecodedEntry): Html {
  return html`<p class="note">${entry.title}</p>
${entry.segments.map((segment) => segmentHtml(segment, entry.bytes))}`
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

function fieldHtml(field: DecodedField): Html {
  const { name, text, offset, length } = field
  return html`<tr data-bytes="${offset}-${offset + length}"><td>${name}</td><td class="value">${text}</td><td class="place">${placeOf(field)}</td></tr>`
}

function changeHtml(before: DecodedEntry, after: DecodedEntry): Html {
  const changed = changes(before, after).map(({ was, ...field }) => ({
    ...field,
    text: `${was} → ${field.text}`,
  }))
  const [{ struct, source }] = after.segments
  return html`<h3>${after.title} <a class="note" href="${source.url}">${struct}</a></h3>
${row(before.bytes, 0, 'before')}${row(after.bytes, 0, 'after', before.bytes)}
<table>${changed.map(fieldHtml)}</table>
`
}
