/** Rings as a page that steps through their entries. */
import { type Html, html } from '../../../pages/html.js'
import { pageText } from '../../../pages/page.js'
import { entryHtml, row } from '../entry-html.js'
import { toJson } from '../json.js'
import { script } from '../page-script.js'
import { style } from '../page-style.js'
import type { ThreadRings } from './program.js'
import type { DecodedQueue, DecodedRing } from './rings.js'
import { entryPlace, omittedText, racy, ringText, threadName } from './text.js'

/** Characters of a page, at most. */
const longest = 290_000

/** The step's colours: what the program writes to send, to receive, and what the device writes. */
const sides = { 'send queue': 'sender', 'receive queue': 'receiver', 'completion queue': 'wire' } as const

/** All that fits: fewer of the last entries of each ring, and then fewer queues. */
export function ringsPage(threads: readonly ThreadRings[]): string {
  const asked = Math.max(1, ...threads.flatMap(entriesOf))
  let queues = Math.max(1, ...threads.map((thread) => thread.queues.length))
  for (let most = asked; ; ) {
    const shorter = threads.map((thread) => shortened(thread, most, queues))
    const text = pageOf(shorter, most < asked ? most : undefined)
    if (text.length <= longest) return text
    if (most > 1) most = Math.ceil(most / 2)
    else if (queues > 1) queues = Math.ceil(queues / 2)
    else return text
  }
}

const entriesOf = ({ queues }: ThreadRings) =>
  queues.flatMap(({ rings }) => rings.map(({ entries }) => entries.length))

function shortened(thread: ThreadRings, most: number, queueCount: number): ThreadRings {
  const shorter = (ring: DecodedRing) => ({ ...ring, entries: ring.entries.slice(0, most) })
  const queues = thread.queues.slice(0, queueCount)
  return {
    ...thread,
    omitted: thread.omitted + thread.queues.length - queues.length,
    queues: queues.map((queue) => ({ ...queue, rings: queue.rings.map(shorter) })),
  }
}

function pageOf(threads: readonly ThreadRings[], most: number | undefined): string {
  const title = `The rings of process ${threads[0].pid}`
  const left =
    most === undefined
      ? ''
      : html`<p>Of each ring only ${most} of the last entries: a page has no room for more.</p>`
  const body = html`<header>
<h1>${title}</h1>
<p>What a running program and a ConnectX have told each other last: doorbell records, requests and completions, the newest
first. Every field has its name in C, and its structure a link to where it is defined. ${racy}</p>
${left}
</header>
${threads.map(threadHtml)}
<nav hidden><button id="back">Back</button><button id="play">Play</button><button id="next">Next</button><span id="count">${stepsIn(threads)} steps</span></nav>`
  // The bytes and what they are called stand in the body: data for programs are the bytes alone.
  const data = threads.map((thread) => ({ ...thread, queues: thread.queues.map(bytesOnly) }))
  return pageText({ title, body, style, script, data: JSON.parse(toJson(data)) })
}

const stepsIn = (threads: readonly ThreadRings[]) =>
  threads.reduce((sum, thread) => sum + thread.queues.length, 0) +
  threads.flatMap(entriesOf).reduce((sum, each) => sum + each, 0)

function bytesOnly({ rings, record, ...queue }: DecodedQueue) {
  const only = (ring: DecodedRing) => ({
    ...ring,
    entries: ring.entries.map(({ entry, ...each }) => ({ ...each, title: entry.title, bytes: entry.bytes })),
  })
  return { ...queue, record: record.bytes, rings: rings.map(only) }
}

function threadHtml(thread: ThreadRings): Html {
  const { queues, omitted } = thread
  const none =
    queues.length === 0 ? html`<p class="note">No queue is driven through ibverbs/mlx5 there.</p>` : ''
  const more = omitted === 0 ? '' : html`<p class="note">${omittedText(thread, '--json has them')}</p>`
  return html`<h1>${threadName(thread)}</h1>
${none}${more}${queues.map(queueHtml)}`
}

function queueHtml({ title, record, rings }: DecodedQueue): Html {
  return html`<section>
<h1 class="queue">${title}</h1>
<ol>
<li class="step"><h2><b>doorbell record</b></h2>
${entryHtml(record)}</li>
${rings.map(ringHtml)}
</ol>
</section>
`
}

function ringHtml(ring: DecodedRing): Html {
  const { name, note, entries } = ring
  const about = html`<li class="ring"><h2><b>${name}</b> ${ringText(ring)}</h2>${note === undefined ? '' : html`<p class="note">${note}</p>`}</li>
`
  return html`${about}${entries.map(
    (each) => html`<li class="step ${sides[name]}"><h2><b>${name}</b> entry ${entryPlace(each)}</h2>
${each.entry.segments.length === 0 ? row(each.entry.bytes) : ''}${entryHtml(each.entry)}</li>
`,
  )}`
}
