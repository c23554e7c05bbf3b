// The far end of a ping-pong between two processes: started by twoProcessSide, driven by lines.
//
//   argv: the PairParameters as JSON      → ready ENDPOINT
//   connect ENDPOINT                      → connected
//   echo COUNT                            → echoing, and when all are answered: done
import { createInterface } from 'node:readline'
import { End } from './end.js'
import { echo, Player } from './pingpong.js'

const end = new End(1, JSON.parse(process.argv[2]))
let player: Player | undefined
console.log(`ready ${JSON.stringify(end.pair.endpoint)}`)
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(/ (.*)/)
  if (command === 'connect') {
    const remote = JSON.parse(argument)
    end.connect(remote)
    player = new Player(end, remote)
    console.log('connected')
  } else if (command === 'echo' && player) {
    console.log('echoing') // a pipe is written synchronously: it is out before the loop begins
    echo(player, Number(argument))
    console.log('done')
  } else {
    throw new Error(`not understood: ${line}`)
  }
}
end.close()
