/** IBVERBS_CONTROL=1: the control socket without a line of code. Every entry point imports this file. */
import { whenLoaded } from '../native.js'

/** What cannot be done is a warning: a program must not end because nobody can look at it. */
function startIfAsked(): void {
  const { IBVERBS_CONTROL: value = '' } = process.env
  if (value === '' || value === '0') return
  if (value !== '1') {
    process.emitWarning(`IBVERBS_CONTROL must be 0 or 1, not '${value}': there is no control socket`)
    return
  }
  import('./control.js')
    .then(({ control }) => control())
    .catch((error: Error) => process.emitWarning(`there is no control socket: ${error.message}`))
}

whenLoaded(startIfAsked)
