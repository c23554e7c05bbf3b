import { describe, expect, it } from 'vitest'
import { parseSendLat } from '../../bench/harness/verbs/perftest.js'

// Output of ib_send_lat of perftest 4.5 in the VM.
const output = `---------------------------------------------------------------------------------------
                    Send Latency Test
 Dual-port       : OFF		Device         : rxe0
 Mtu             : 1024[B]
---------------------------------------------------------------------------------------
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]   99.9% percentile[usec]
 2       1000          14.18          158.69       14.75    	       15.63       	6.36   		38.55   		158.69
---------------------------------------------------------------------------------------
`

describe('what ib_send_lat prints', () => {
  it('gives the typical time and the 99th percentile', () => {
    expect(parseSendLat(output, 2)).toEqual([14.75, 38.55])
  })

  it('is no result where its clock could not be calibrated', () => {
    const line =
      ' 2       1000          inf            inf          inf           inf         -nan     inf       inf'
    expect(parseSendLat(`Correlation coefficient r^2: 0.210983 < 0.9\n${line}\n`, 2)).toBeNull()
  })

  it('is refused without a line for the size', () => {
    expect(() => parseSendLat(output, 64)).toThrow('no result line for 64 bytes')
    expect(() => parseSendLat("Couldn't connect to 127.0.0.1:18515\n", 2)).toThrow("Couldn't connect")
  })
})
