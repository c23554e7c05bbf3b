#include "ethernet/af_packet/inlet.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ethernet {

int PacketInlet::prepare() {
  uint32_t available, room;
  if (!fill_.available(&available) || !receive_.room(&room)) return -ERANGE;
  const uint32_t wanted = std::min({available, room, batch});
  for (uint32_t frame; preparedCount_ < wanted; preparedCount_++) {
    if (!frames.at(fill_.read(preparedCount_, AddressRecord::kAddress), &frame)) break;
    prepared_[preparedCount_] = frame;
  }
  const uint32_t count = std::min(preparedCount_, wanted);
  if (count == 0 && wanted > 0) {
    fill_.consume(1);
    return -EFAULT;
  }
  return static_cast<int>(count);
}

void PacketInlet::deliver(uint32_t i, const FrameMetadata& metadata) {
  if (metadata.flags & FrameRecord::kTruncated) truncated++;
  const uint32_t frame = prepared_[i];
  frames.describe(frame, metadata);
  receive_.write(i, DescriptorRecord::kAddress, frames.addressOf(frame));
  receive_.write(i, DescriptorRecord::kAddressHigh, 0);
  receive_.write(i, DescriptorRecord::kLength, metadata.length);
  receive_.write(i, DescriptorRecord::kOptions, 0);
}

void PacketInlet::publish(uint32_t count) {
  preparedCount_ -= count;
  memmove(prepared_.data(), prepared_.data() + count, preparedCount_ * sizeof prepared_[0]);
  fill_.consume(count);
  receive_.produce(count);
}

}  // namespace ethernet
