/** A software ConnectX that receives what it sends, open, for each test of a file. */
import { type Context, open, type ProtectionDomain } from 'ibverbs'
import { type SoftConnectX, softConnectX } from 'ibverbs/soft'
import { afterEach, beforeEach } from 'vitest'

export interface Card {
  soft: SoftConnectX
  context: Context
  domain: ProtectionDomain
}

export function useCard(): Card {
  const card = {} as Card
  beforeEach(() => {
    card.soft = softConnectX({ wire: 'loop' })
    card.context = open(card.soft.devices()[0].name)
    card.domain = card.context.allocateProtectionDomain()
  })
  afterEach(() => {
    card.context.close()
    card.soft.close()
  })
  return card
}
