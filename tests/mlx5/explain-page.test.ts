/** The page of `ibverbs explain --html`, and the builder of pages, as text; a browser's view is checked by hand. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { html } from '../../lib/pages/html.js'
import { pageText } from '../../lib/pages/page.js'
import { ibverbs } from '../cli/run.js'

const element = (page: string, name: string) => new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(page)![1]
const hashOf = (text: string) => `sha256-${createHash('sha256').update(text).digest('base64')}`

test('a page: one file, which may load nothing and runs its own script alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-page-'))
  try {
    const file = join(folder, 'send.html')
    expect(await ibverbs(['explain', '-t', 'send', '--html', file])).toEqual({
      code: 0,
      signal: null,
      stdout: '',
      stderr: '',
    })
    const page = readFileSync(file, 'utf8')
    expect(page.length).toBeLessThan(300_000)
    expect(/content="(default-src .*?)"/.exec(page)![1].split('; ')).toEqual([
      "default-src 'none'",
      `style-src '${hashOf(element(page, 'style'))}'`,
      `script-src '${hashOf(element(page, 'script'))}'`,
      "base-uri 'none'",
      "form-action 'none'",
    ])
    expect(page).not.toMatch(/ (src|style|on\w+)=/)
    const { kind, steps } = JSON.parse(/id="data">(.*?)<\/script>/s.exec(page)![1])
    expect(kind).toBe('send')
    // Each step is readable without the script: its title, and all its bytes.
    expect([...page.matchAll(/<li class="step (\w+)">/g)].map(([, side]) => side)).toEqual(
      steps.map(({ side }: { side: string }) => side),
    )
    const shown = page.split('<li class="step').slice(1)
    for (const [i, { title, bytes, entry, before }] of steps.entries()) {
      expect(shown[i]).toContain(html`${title}`.text)
      const all = [...shown[i].matchAll(/<b data-at="\d+"(?: class="changed")?>(..)<\/b>/g)].map(
        ([, byte]) => byte,
      )
      expect(all.join('')).toBe((bytes ?? '') + (before?.bytes ?? '') + (entry?.bytes ?? ''))
    }
    expect(page).toMatch(/<tr data-bytes="0-4"><td>opcode<\/td><td class="value">SEND<\/td>/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('--html where no file can be, and beside --json', async () => {
  const nowhere = await ibverbs(['explain', '--html', '/nonexistent/page.html'])
  expect(nowhere).toMatchObject({ code: 1, stdout: '' })
  expect(nowhere.stderr).toContain('ENOENT')
  expect(await ibverbs(['explain', '--html', 'x', '--json'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--html and --json exclude each other'),
  })
})

test('what is inserted is text, and data end no script', () => {
  const text = '<img src=x onerror=alert(1)>&"\''
  expect(html`<p title="${text}">${[text, html`<b>${1}</b>`]}</p>`.text).toBe(
    '<p title="&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39;">&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39;<b>1</b></p>',
  )
  const data = ['</script><script>', '<!--']
  const page = pageText({
    title: text,
    body: html`<p>${text}</p>`,
    style: 'p { color: red }',
    script: '1',
    data,
  })
  expect(page.match(/<script/g)).toHaveLength(2)
  expect(page).not.toContain('<!--')
  expect(JSON.parse(/id="data">(.*?)<\/script>/s.exec(page)![1])).toEqual(data)
  for (const script of ['"</script>"', '"<!--"']) {
    expect(() => pageText({ title: '', body: html``, style: '', script, data })).toThrow('ends its element')
  }
})
