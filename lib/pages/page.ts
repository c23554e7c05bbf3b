import { createHash } from 'node:crypto'
import { Html, html } from './html.js'

/** The parts of a page that needs nothing but itself. */
export interface Page {
  title: string
  /** What is read without scripts, too. */
  body: Html
  /** CSS. */
  style: string
  /** JavaScript, a classic script at the end of the body. */
  script: string
  /** What the page shows, for programs: in `<script type="application/json" id="data">`. */
  data: unknown
}

/**
 * One file of HTML. Its policy forbids every request and every script and style but the page's own, which it names by their
 * hashes (CSP, level 2).
 */
export function pageText({ title, body, style, script, data }: Page): string {
  const policy = [
    "default-src 'none'",
    `style-src '${hashOf(style)}'`,
    `script-src '${hashOf(script)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  // In a script element only "</script" and "<!--" end or change anything: no "<" is left.
  const json = JSON.stringify(data).replaceAll('<', '\\u003c')
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Html(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${inElement(style)}</style>
</head>
<body>
${body}
<script type="application/json" id="data">${new Html(json)}</script>
<script>${inElement(script)}</script>
</body>
</html>
`.text
}

const hashOf = (text: string) => `sha256-${createHash('sha256').update(text).digest('base64')}`

/** A style or script of our own: what would end its element is a mistake in it. */
function inElement(text: string): Html {
  if (/<\/(style|script)|<!--/i.test(text)) throw new Error('a style or script that ends its element')
  return new Html(text)
}
