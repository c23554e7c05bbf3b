/** The page's script: one thing after another lights up. Without it the page is whole, and stands still. */
export const script = `
'use strict'
const stops = [...document.querySelectorAll('[data-bytes]')]
const count = document.getElementById('count')
const play = document.getElementById('play')
let at = -1
let timer

const bytesOf = (stop) => {
  const [from, to] = stop.dataset.bytes.split('-').map(Number)
  const step = stop.closest('.step')
  return [...step.querySelectorAll('b[data-at]')].filter((b) => b.dataset.at >= from && b.dataset.at < to)
}
const light = (stop, on) => {
  stop.classList.toggle('lit', on && stop.tagName === 'TR')
  for (const b of bytesOf(stop)) b.classList.toggle('lit', on)
}
const go = (to) => {
  if (to < 0 || to >= stops.length) return false
  if (at >= 0) light(stops[at], false)
  at = to
  light(stops[at], true)
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches
  stops[at].scrollIntoView({ block: 'center', behavior: calm ? 'auto' : 'smooth' })
  const steps = document.querySelectorAll('.step')
  count.textContent = 'step ' + (1 + [...steps].indexOf(stops[at].closest('.step'))) + ' of ' + steps.length
  return true
}
const stop = () => {
  clearInterval(timer)
  timer = undefined
  play.textContent = 'Play'
}
const start = () => {
  if (at === stops.length - 1) go(0)
  play.textContent = 'Pause'
  timer = setInterval(() => go(at + 1) || stop(), 700)
}

document.getElementById('back').onclick = () => { stop(); go(at - 1) }
document.getElementById('next').onclick = () => { stop(); go(at + 1) }
play.onclick = () => (timer === undefined ? start() : stop())
addEventListener('keydown', (event) => {
  if (event.key === 'ArrowRight') { stop(); go(at + 1) }
  if (event.key === 'ArrowLeft') { stop(); go(at - 1) }
})
for (const [i, each] of stops.entries()) each.addEventListener('click', (event) => {
  if (event.target.closest('a')) return
  stop()
  go(i)
})
document.querySelector('nav').hidden = false
`
