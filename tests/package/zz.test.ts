import { test } from 'vitest'
import { PublicApi } from './public-api.js'

test('x', () => {
  const api = new PublicApi()
  console.log([...api.taken.values()].map((t) => `${t.place}: ${t.names.join(' ')}`).join('\n'))
  console.log([...api.hidden].join('\n'))
}, 100000)
