/**
 * The bed `driven`: verbs with this package's own driver of the rings (ibverbs/mlx5, driver 'mlx5') in place of libibverbs.
 * Each completion queue and queue pair that a test opens gets it, but those that it cannot have.
 */
import { Context, ProtectionDomain } from 'ibverbs'
import { createCompletionQueue, createQueuePair } from 'ibverbs/mlx5'
import { beforeEach } from 'vitest'
import { tests } from './undriven.mjs'

const driver = 'mlx5'
/** A completion queue is opened by way of a protection domain. */
const domains = new WeakMap<Context, ProtectionDomain>()

function domainOf(context: Context): ProtectionDomain {
  let domain = domains.get(context)
  if (domain === undefined || domain.closed) {
    domain = context.allocateProtectionDomain()
    domains.set(context, domain)
  }
  return domain
}

Context.prototype.createCompletionQueue = function (entries, options) {
  return createCompletionQueue(domainOf(this), entries, { ...options, driver })
}
ProtectionDomain.prototype.createQueuePair = function (options) {
  return createQueuePair(this, { ...options, driver })
}

beforeEach((context) => {
  const { file, name, suite } = context.task
  const titles = [name]
  for (let each = suite; each; each = each.suite) titles.unshift(each.name)
  const title = titles.filter((each) => each !== '' && !each.endsWith('.ts')).join(' ')
  const row = tests.find(
    ({ file: of, titles }) =>
      file.filepath.endsWith(`/tests/verbs/${of}.test.ts`) && titles.some((each) => title.includes(each)),
  )
  if (row) context.skip(row.why)
})
