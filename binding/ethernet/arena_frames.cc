#include "ethernet/arena_frames.h"

#include "argument.h"

namespace ethernet {

ArenaFrames::ArenaFrames(Napi::Object options)
    : arena_(options.Env(), options.Get("arena"), "arena"),
      records_(options.Env(), options.Get("frames"), "frames"),
      headroom_(argument::field<uint32_t>(options, "headroom")) {
  Napi::Env env = options.Env();
  const auto size = argument::field<uint32_t>(options, "frameSize");
  if (size < 64 || (size & (size - 1)) != 0) throwArgumentRange(env, "frameSize", "a power of two, at least 64");
  shift_ = static_cast<uint32_t>(__builtin_ctz(size));
  if (headroom_ > size - ETH_HLEN) throwArgumentRange(env, "headroom", "smaller than a frame");
  const size_t count = records_.length() / sizeof(uint32_t) / FrameRecord::kWords;
  if (count == 0 || !records_.aligned(sizeof(uint32_t))) throwArgumentRange(env, "frames", "a record for each frame");
  // Addresses are u32 in the rings' records.
  if (count > arena_.length() / size || count > UINT32_MAX / size) {
    throwArgumentRange(env, "arena", "as long as all frames, which are below 4 GiB");
  }
  count_ = static_cast<uint32_t>(count);
}

void ArenaFrames::describe(uint32_t frame, const FrameMetadata& metadata) const {
  uint32_t* words = records_.words() + size_t{frame} * FrameRecord::kWords;
  words[FrameRecord::kOffset] = addressOf(frame);
  words[FrameRecord::kLength] = metadata.length;
  words[FrameRecord::kOriginalLength] = metadata.original;
  words[FrameRecord::kFlags] = metadata.flags;
  words[FrameRecord::kVlan] = metadata.vlan;
  words[FrameRecord::kSeconds] = metadata.seconds;
  words[FrameRecord::kNanoseconds] = metadata.nanoseconds;
  words[FrameRecord::kChecksum] = metadata.checksum;
}

}  // namespace ethernet
