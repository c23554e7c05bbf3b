// Test files whose subject the kernel, the scheduler or the garbage collector does at its own discretion. Their assertions
// must hold all the same: `npm test -- --discretion --repeat 200` is the evidence, and may run in parts (name some files),
// because the log adds up.

/** Huge pages, mappings, heaps, finalizers, descriptors and threads, which are released at no fixed time. */
const memory = [
  'tests/binding/arena.test.ts',
  'tests/soft/devices.test.ts',
  'tests/ethernet/collections.test.ts',
  'tests/ethernet/lifetime.test.ts',
  'tests/ethernet/termination.test.ts',
  'tests/ethernet/route.test.ts',
  'tests/verbs/memory-region.test.ts',
  'tests/verbs/leaks.test.ts',
  'tests/verbs/lifetime.test.ts',
  'tests/verbs/threads.test.ts',
]

/** Clocks, timers, scheduling, grouping of events, processes that come and go. */
const time = [
  'tests/beds/over.test.ts',
  'tests/cli/traffic.test.ts',
  'tests/soft/engine.test.ts',
  'tests/soft/packet-queue.test.ts',
  'tests/soft/programs.test.ts',
  'tests/ethernet/cli-dump.test.ts',
  'tests/ethernet/cli-forward.test.ts',
  'tests/ethernet/cli-generate.test.ts',
  'tests/ethernet/cli-raw.test.ts',
  'tests/ethernet/cli-send.test.ts',
  'tests/ethernet/example.test.ts',
  'tests/ethernet/faults.test.ts',
  'tests/ethernet/peer-responder.test.ts',
  'tests/ethernet/queues.test.ts',
  'tests/ethernet/readable.test.ts',
  'tests/ethernet/timestamps.test.ts',
  'tests/ethernet/waiting.test.ts',
  'tests/ethernet/workers.test.ts',
  'tests/verbs/cli-ping.test.ts',
  'tests/verbs/completion-queue.test.ts',
  'tests/verbs/events.test.ts',
  'tests/verbs/unsignaled.test.ts',
]

export const discretion = [...memory, ...time]
