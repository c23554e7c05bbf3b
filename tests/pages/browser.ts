/** One Chromium for all pages: what each of them must be is asserted here. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, type Page } from 'puppeteer-core'
import { expect } from 'vitest'
import { findBrowser } from '../../binding/tools/packages.mjs'

/** A browser, and a folder for pages. */
export async function openBrowser() {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-pages-'))
  const remove = () => rmSync(folder, { recursive: true, maxRetries: 10 })
  const browser = await launch({
    executablePath: findBrowser(),
    // Its sandbox needs user namespaces and no root; what it shows here is our own.
    args: ['--no-sandbox', '--disable-gpu'],
    userDataDir: join(folder, 'profile'),
  }).catch((error) => {
    remove()
    throw error
  })
  return {
    folder,
    async close(): Promise<void> {
      await browser.close()
      remove()
    },
    /**
     * Opens a file as a page. When it is closed, it must have asked for nothing but itself and said nothing on the console.
     */
    async open(file: string, options: { width?: number; dark?: boolean; scripts?: boolean } = {}) {
      const { width = 1200, dark = false, scripts = true } = options
      const page = await browser.newPage()
      const said: string[] = []
      page.on('console', (message) => said.push(message.text()))
      page.on('pageerror', (error) => said.push(String(error)))
      page.on('request', (request) => said.push(request.url()))
      await page.setJavaScriptEnabled(scripts)
      await page.setViewport({ width, height: 900 })
      await page.emulateMediaFeatures([
        { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
        { name: 'prefers-reduced-motion', value: 'reduce' },
      ])
      await page.goto(`file://${file}`)
      return {
        page,
        async close(): Promise<void> {
          await page.close()
          expect(said).toEqual([`file://${file}`])
        },
      }
    },
  }
}

/** The contrast of an element's text with what lies behind it (WCAG 2.1, 1.4.3). */
export const contrast = (page: Page, selector: string): Promise<number> =>
  page.$eval(selector, (element) => {
    const rgb = (text: string) => (text.match(/[\d.]+/g) ?? []).map(Number)
    const luminance = ([r, g, b]: number[]) => {
      const [x, y, z] = [r, g, b].map((value) => {
        const part = value / 255
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    let behind: Element | null = element
    // The nearest that paints a background.
    while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement
    const colours = [
      getComputedStyle(element).color,
      getComputedStyle(behind ?? document.body).backgroundColor,
    ]
    const [high, low] = colours.map((colour) => luminance(rgb(colour))).sort((a, b) => b - a)
    return (high + 0.05) / (low + 0.05)
  })

/** What each page is looked at on. */
export const screens = [
  { width: 1200, dark: false },
  { width: 1200, dark: true },
  { width: 360, dark: false },
  { width: 360, dark: true },
]

/** Where a page that steps is: what its counter says, which bytes are lit, and which row. */
export const stepOf = (page: Page) =>
  page.evaluate(() => ({
    count: document.getElementById('count')?.textContent,
    bytes: [...document.querySelectorAll('b.lit')].map((each) => each.textContent).join(' '),
    row: document.querySelector('tr.lit')?.textContent ?? '',
  }))
