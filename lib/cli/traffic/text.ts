/** Percentiles and counters of traffic as text. */
import type { LogHistogram, Percentiles } from '../../lab/log-histogram.js'
import { type CheckTotals, type SequenceCheck, windowSize } from './sequence-check.js'

const columns = ['p50', 'p90', 'p99', 'p99.9', 'max'] as const

/** 'late by µs: p50 0.8, p90 …', or null without samples. */
export function percentilesText(name: string, histogram: LogHistogram): string | null {
  const summary = histogram.summary()
  if (!summary) return null
  const beyond =
    summary.overflow > 0 ? `; ${summary.overflow} of more than 2^48 ns are the maximum in these` : ''
  return `${name}: ${columns.map((column) => `${column} ${micro(summary[column])}`).join(', ')}${beyond}`
}

function micro(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0)
}

/** Counters and latency of the received frames. */
export function checkText(totals: CheckTotals, check: SequenceCheck): string[] {
  const latency = percentilesText('latency in µs', check.latency)
  return [...countsText(totals), ...(latency ? [latency] : []), ...clocksText(check)]
}

export function countsText(totals: CheckTotals): string[] {
  const { frames, lost, duplicated, reordered, stale } = totals
  const lines = [`${frames} received: ${lost} lost, ${duplicated} duplicated, ${reordered} reordered`]
  if (stale > 0) {
    lines.push(
      `${stale} came more than ${windowSize} numbers late, lost ones after all or duplicates: they count as neither`,
    )
  }
  return lines
}

export function clocksText({ early }: SequenceCheck): string[] {
  if (early === 0) return []
  return [`${early} came before they were due: the two clocks differ, and the latencies with them`]
}

/** The same as an object for JSON. */
export function checkJson(
  totals: CheckTotals,
  check: SequenceCheck,
): CheckTotals & { early: number; latency: Percentiles | null } {
  return { ...totals, early: check.early, latency: check.latency.summary() }
}
