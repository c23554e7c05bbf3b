#include "nic/queue_pair.h"

namespace soft {

QueuePair::QueuePair(uint32_t number, const QueuePairAttributes& attributes, CompletionQueue* sendCq,
                     CompletionQueue* receiveCq, SharedReceiveQueue* srq)
    : number(number),
      type(attributes.type),
      scatterReceives(attributes.scatterReceives),
      scatterRequests(attributes.scatterRequests),
      pd(attributes.pd),
      userIndex(attributes.userIndex),
      cookie(attributes.cookie),
      sendCq(sendCq),
      srq(srq),
      sq(attributes.sq),
      receiver(attributes.rq, Striding{}, receiveCq, attributes.pd, attributes.userIndex),
      watch(number) {
  receiver.queuePair = this;
  receiver.stripVlan = attributes.stripVlan;
  receiver.scatterFcs = attributes.scatterFcs;
  target.direct = &receiver;
  target.transportDomain = attributes.transportDomain;
  target.ownUnicast = attributes.ownUnicast;
  target.ownGroups = attributes.ownGroups;
}

QueuePair::~QueuePair() = default;

}  // namespace soft
