/** The page of `ibverbs explain --attach --html`, as a browser shows it. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ibverbs, Running } from '../cli/run.js'
import { contrast, openBrowser, screens, stepOf } from './browser.js'

let browser: Awaited<ReturnType<typeof openBrowser>>
let file: string
let program: Running

beforeAll(async () => {
  browser = await openBrowser()
  file = join(browser.folder, 'rings.html')
  const runtime = { XDG_RUNTIME_DIR: browser.folder }
  // At rest: what it says does not change between two pages.
  const traffic = join(import.meta.dirname, '../control/programs/traffic.mjs')
  program = new Running(process.execPath, [traffic], {
    env: { ...runtime, IBVERBS_CONTROL: '1', IBVERBS_SOFT: 'pair:a;pair:a' },
    open: true,
  })
  await program.until(/in traffic/)
  program.child.kill('SIGUSR2')
  await program.until(/\}\n$/)
  const { pid } = program.child
  const finished = await ibverbs(['explain', '--attach', String(pid), '-n', '64', '--html', file], {
    env: runtime,
  })
  expect(finished).toMatchObject({ code: 0, stderr: '' })
})
afterAll(async () => {
  program?.child.kill('SIGKILL')
  await browser?.close()
})

test('is no longer than a page may be, and says what was left out', async () => {
  expect(statSync(file).size).toBeLessThanOrEqual(300_000)
  const { page, close } = await browser.open(file)
  expect(await page.$eval('header', (each) => each.textContent)).toMatch(
    /Of each ring only \d+ of the last entries: a page has no room for more\./,
  )
  await close()
})

describe.each(screens)('$width pixels wide, dark: $dark', (options) => {
  test('steps through the rings, and their bytes light up', async () => {
    const { page, close } = await browser.open(file, options)
    const state = () => stepOf(page)
    const steps = await page.$$eval('.step', (all) => all.length)
    expect(steps).toBeGreaterThan(20)
    expect(await state()).toEqual({ count: `${steps} steps`, bytes: '', row: '' })
    await page.click('#next')
    expect(await state()).toMatchObject({
      count: `step 1 of ${steps}`,
      row: expect.stringMatching(/^receiveCounter\d+dbrec\[MLX5_RCV_DBR\]\[15:0\]$/),
    })
    // The newest send request: three frames.
    await page.click('.step.sender tr:nth-child(3)')
    expect(await state()).toMatchObject({ row: 'opcodeENHANCED_MPSWopmod_idx_opcode[7:0]' })
    for (const selector of [
      'h1',
      'h1.queue',
      'header p',
      '.ring h2 b',
      '.step h2 b',
      '.note',
      'td',
      'tr.lit td',
      '#count',
    ]) {
      expect(await contrast(page, selector), selector).toBeGreaterThanOrEqual(4.5)
    }
    // Nothing has to be scrolled sideways.
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(options.width)
    if (process.env.IBVERBS_SHOTS) {
      const path = join(process.env.IBVERBS_SHOTS, `rings-${options.width}-${options.dark}.png`)
      await page.screenshot({ path: path as `${string}.png` })
    }
    await close()
  })
})

test('without scripts everything is there, and no button', async () => {
  const { page, close } = await browser.open(file, { scripts: false })
  const text = await page.$eval('body', (body) => (body as HTMLElement).innerText)
  expect(text).toMatch(/queue pair 0x[0-9a-f]{6} \(RAW_PACKET\) on mlx5_soft0/)
  expect(text).toMatch(/completion queue entry \d+ in slot \d+/)
  expect(text).toMatch(/opcode\s+ENHANCED_MPSW\s+opmod_idx_opcode\[7:0\]/)
  expect(await page.$eval('nav', (nav) => getComputedStyle(nav).display)).toBe('none')
  await close()
})
