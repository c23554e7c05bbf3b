// The errors for an address that does not answer, and for access that the device does not support.
import { describe, expect, it } from 'vitest'
import { soft, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** No device has it; it contains no MAC address, by which the software ConnectX would find its port. */
const nobody = 'fe80::dead:1'
const code = soft ? 'EHOSTUNREACH' : 'ETIMEDOUT'
const way = `to ${nobody} from GID index 0 of port 1${soft ? '' : ': nobody there answers. The call blocks'}`

describe('an address without an answer', () => {
  it('is named where RTR fails', () => {
    const { pair } = rxe.side('RC')
    const peer = rxe.side('RC', 1).pair.endpoint
    expect(thrownBy(() => pair.connect({ ...peer, gid: nobody }))).toMatchObject({
      name: 'VerbsError',
      code,
      syscall: 'ibv_modify_qp',
      message: expect.stringContaining(`${code}: ibv_modify_qp: ${way}`),
    })
    expect(pair.state).toBe('INIT')
  })

  it('is named where an address handle fails', () => {
    const { domain } = rxe.side('UD')
    expect(thrownBy(() => domain.createAddressHandle({ gid: nobody }))).toMatchObject({
      code,
      syscall: 'ibv_create_ah',
      message: expect.stringContaining(`${code}: ibv_create_ah: ${way}`),
    })
  })
})

it('a device without flush refuses the access that it would need', () => {
  const { domain } = rxe.side('RC')
  for (const access of ['FLUSH_GLOBAL', 'FLUSH_PERSISTENT'] as const) {
    expect(thrownBy(() => domain.registerMemory(4096, { access: ['LOCAL_WRITE', access] }))).toMatchObject({
      code: 'EINVAL',
      syscall: 'ibv_reg_mr',
    })
  }
})
