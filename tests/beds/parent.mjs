// A signal to npm ends npm and its shell, and reaches nothing below them: whom npm started looks for it.

/** Calls `ended` once, when the process that started this one is gone. Keeps no event loop alive. */
export function whenParentEnds(ended) {
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    ended()
  }, 500)
  watch.unref()
}
