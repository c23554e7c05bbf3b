/** The software ConnectX on a machine whose kernel has RDMA devices of its own: they stay, and work. */
import { listDevices } from 'ibverbs'
import { softConnectX } from 'ibverbs/soft'
import { expect, it } from 'vitest'
import { completion, expectBytes, names, pattern, soft, useRxe } from '../beds/rxe.js'

const rxe = useRxe()
const listed = () => listDevices().map(({ name }) => name)

it.skipIf(soft)(
  'real devices stay in the list, and carry data, while software ones come and go',
  async () => {
    expect(listed().sort()).toEqual([...names])
    const devices = softConnectX({ wire: 'pair' })
    expect(listed().sort()).toEqual(['mlx5_soft0', 'mlx5_soft1', ...names])
    const [a, b] = rxe.connected('RC')
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.memory.bytes.set(pattern(2000, 1))
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 2000)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', byteLength: 2000 })
    expectBytes(b.memory.bytes.subarray(0, 2000), pattern(2000, 1))
    await completion(a.cq)
    devices.close()
    expect(listed().sort()).toEqual([...names])
  },
)
