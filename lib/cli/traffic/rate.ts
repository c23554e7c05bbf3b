/** Sending rate: '100k' frames per second, '1.5Gbit' of frames, or 'max'. */
import { UsageError } from '../usage.js'

export type Rate =
  | { readonly unit: 'frames' | 'bits'; readonly perSecond: number }
  | { readonly unit: 'max'; readonly perSecond: number }

const scales: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 }

/** @throws UsageError */
export function rateOption(name: string, text: string): Rate {
  if (text.toLowerCase() === 'max') return { unit: 'max', perSecond: Number.POSITIVE_INFINITY }
  const [, number, scale, bits] = /^(\d+\.?\d*|\.\d+)([kmg]?)(bit|bps)?$/i.exec(text) ?? []
  const perSecond = Number(number) * scales[(scale ?? '').toLowerCase()]
  if (!(perSecond > 0 && perSecond <= 1e12)) {
    throw new UsageError(
      `${name} must be frames a second like 100k, bits like 500Mbit, or max, not '${text}'`,
    )
  }
  return { unit: bits ? 'bits' : 'frames', perSecond }
}

/** Milliseconds between frames of this length at the rate. */
export function gapOf(rate: Rate, length: number): number {
  if (rate.unit === 'max') return 0
  return (rate.unit === 'bits' ? length * 8 * 1000 : 1000) / rate.perSecond
}

/** Groups digits by three: '12 345 678'. */
export function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ')
}

/** Formats a rate: '12 346/s', and slow ones with three digits, '0.5/s'. */
export function perSecondText(value: number): string {
  return `${value < 100 ? Number(value.toPrecision(3)) : grouped(value)}/s`
}

/** Formats bits per second with a unit. */
export function bitsText(perSecond: number): string {
  const [unit, scale] =
    perSecond >= 1e9
      ? ['Gbit/s', 1e9]
      : perSecond >= 1e6
        ? ['Mbit/s', 1e6]
        : perSecond >= 1e3
          ? ['kbit/s', 1e3]
          : ['bit/s', 1]
  return `${(perSecond / scale).toFixed(1)} ${unit}`
}
