// The tests of verbs that the bed `driven` leaves to libibverbs. None is of something that the driver of ibverbs/mlx5
// refuses: what it refuses, it refuses in words, which tests/mlx5/messages-refused.test.ts asserts.

/** Files, by name: with the driver JavaScript itself takes the records, and no other thread's words can be among them. */
export const files = ['records', 'records-random']

const domain = 'counts handles: a completion queue of the driver’s is opened by way of a protection domain'

/** Tests, by file and by words in their titles. */
export const tests = [
  {
    file: 'arguments',
    titles: ['Context.createCompletionQueue'],
    why: 'the bed puts its own option among the given',
  },
  { file: 'completion-queue', titles: ['without polling'], why: 'counts native polls: the driver has none' },
  {
    file: 'lifetime',
    titles: ['of a context takes what hangs from it', 'is freed with its context'],
    why: domain,
  },
]
