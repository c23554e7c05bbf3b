/** The page of `ibverbs explain --html`, as a browser shows it. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ibverbs } from '../cli/run.js'
import { contrast, openBrowser, screens, stepOf } from './browser.js'

let browser: Awaited<ReturnType<typeof openBrowser>>
let file: string

beforeAll(async () => {
  browser = await openBrowser()
  file = join(browser.folder, 'frame.html')
  expect(await ibverbs(['explain', '--html', file])).toMatchObject({ code: 0, stderr: '' })
})
afterAll(() => browser?.close())

describe.each(screens)('$width pixels wide, dark: $dark', (options) => {
  test('steps through the fields, and their bytes light up', async () => {
    const { page, close } = await browser.open(file, options)
    const state = () => stepOf(page)
    expect(await state()).toEqual({ count: '11 steps', bytes: '', row: '' })
    await page.click('#next')
    expect(await state()).toEqual({
      count: 'step 1 of 11',
      bytes: '00 00 08 00',
      row: 'byteCount2048byte_count[30:0]',
    })
    await page.keyboard.press('ArrowRight')
    expect((await state()).row).toMatch(/^key0x[0-9a-f]{8}lkey$/)
    await page.click('#back')
    expect((await state()).row).toMatch(/^byteCount/)
    await page.click('.step:nth-child(3) tr:nth-child(3)')
    expect(await state()).toEqual({
      count: 'step 3 of 11',
      bytes: '00 00 00 0a',
      row: 'opcodeSENDopmod_idx_opcode[7:0]',
    })
    for (const selector of [
      'h1',
      'header p',
      'h2 b',
      '.note',
      'td',
      'tr.lit td',
      'b.lit',
      '#next',
      '#count',
    ]) {
      expect(await contrast(page, selector), selector).toBeGreaterThanOrEqual(4.5)
    }
    // Nothing has to be scrolled sideways.
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(options.width)
    await close()
  })
})

test('plays to the end by itself', async () => {
  const { page, close } = await browser.open(file)
  const stops = await page.$$eval('[data-bytes]', (all) => all.length)
  // From the last field but one: it takes its time.
  await page.evaluate(
    (index) => document.querySelectorAll<HTMLElement>('[data-bytes]')[index].click(),
    stops - 2,
  )
  await page.click('#play')
  expect(await page.$eval('#play', (button) => button.textContent)).toBe('Pause')
  await page.waitForFunction(() => document.getElementById('play')?.textContent === 'Play')
  expect(await page.$eval('#count', (each) => each.textContent)).toBe('step 11 of 11')
  await close()
})

test('without scripts everything is there, and no button', async () => {
  const { page, close } = await browser.open(file, { scripts: false })
  const text = await page.$eval('body', (body) => (body as HTMLElement).innerText)
  expect(text).toContain('11. sender gives the entry back')
  expect(text).toMatch(/opcode\s+SEND\s+opmod_idx_opcode\[7:0\]/)
  expect(await page.$eval('nav', (nav) => getComputedStyle(nav).display)).toBe('none')
  await close()
})
