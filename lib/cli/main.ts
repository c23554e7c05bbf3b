#!/usr/bin/env node
/** The command `ibverbs` as a process. */
import { main } from './program.js'
import { Session } from './session.js'

const session = new Session()
main(process.argv.slice(2), session).then((code) => session.exit(code))
