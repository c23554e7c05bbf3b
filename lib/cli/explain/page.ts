/** A conversation as a page that steps through it. */
import type { DecodedEntry } from '../../mlx5/index.js'
import { type Html, html } from '../../pages/html.js'
import { pageText } from '../../pages/page.js'
import { frameText } from '../frame/frame-text.js'
import { changes } from './changes.js'
import type { Conversation, Step } from './conversation.js'
import { entryHtml, fieldHtml, row } from './entry-html.js'
import { toJson } from './json.js'
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
  return pageText({ title, body, style, script, data: JSON.parse(toJson(conversation)) })
}

function stepHtml(step: Step, number: number): Html {
  const { side, title, entry, before, bytes } = step
  return html`<li class="step ${side}"><h2><b>${number}. ${side}</b> ${title}</h2>
${bytes ? bytesHtml(side, bytes) : ''}${entry ? (before ? changeHtml(before, entry) : entryHtml(entry)) : ''}</li>
`
}

function bytesHtml(side: Step['side'], bytes: Uint8Array): Html {
  const words = side === 'wire' ? [frameText(bytes, { link: true }), roceText(bytes)] : []
  const notes = words.filter((text) => text !== undefined).map((text) => html`<p class="note">${text}</p>`)
  return html`${notes}<div data-bytes="0-${bytes.length}">${row(bytes)}</div>
`
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
