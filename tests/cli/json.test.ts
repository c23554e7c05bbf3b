import { describe, expect, test } from 'vitest'
import { jsonText, rounded } from '../../dist/cli/json.js'
import { bitsText, perSecondText } from '../../dist/cli/traffic/rate.js'

test('measured numbers have the digits that mean something', () => {
  const measured = {
    unit: 'us',
    p50: 12.345678901234567,
    max: 1234567.8901234567,
    seconds: 1.2345678901234567,
    mean: 0.000123456789,
    wantedPerSecond: 1000 / 3,
    slow: 0.1 + 0.2,
    count: 2 ** 53 - 1,
    none: null,
    infinite: Number.POSITIVE_INFINITY,
    nested: [{ seconds: 0.0000001234567 }, -1.00049999],
  }
  expect(jsonText(measured)).toBe(
    '{"unit":"us","p50":12.346,"max":1234567.89,"seconds":1.234568,"mean":0.000123,"wantedPerSecond":333.333,' +
      '"slow":0.3,"count":9007199254740991,"none":null,"infinite":null,"nested":[{"seconds":1.23e-7},-1]}',
  )
})

test.each([
  [0, 0],
  [-0.0001, -0.0001],
  [0.05, 0.05],
  [0.0999999, 0.1],
  [99.9996, 100],
  [1e21 / 3, 333333333333333300000],
  [5e-324, 5e-324],
])('rounded(%d) is %d', (value, expected) => expect(rounded(value)).toBe(expected))

describe('rates', () => {
  test.each([
    [0.5, '0.5/s'],
    [0.0333333, '0.0333/s'],
    [2.999, '3/s'],
    [99.4, '99.4/s'],
    [999.6, '1 000/s'],
    [123456.7, '123 457/s'],
    [0, '0/s'],
  ])('%d', (value, text) => expect(perSecondText(value)).toBe(text))

  test.each([
    [240, '240.0 bit/s'],
    [1500, '1.5 kbit/s'],
    [2.5e9, '2.5 Gbit/s'],
  ])('%d bits', (value, text) => expect(bitsText(value)).toBe(text))
})
