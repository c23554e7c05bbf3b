// Filters in the words of pcap-filter(7), compiled to classic BPF by libpcap, which is opened at run time: where it is
// missing, filters say so and everything else works.
#pragma once

#include <napi.h>

namespace ethernet {

// pcap: what EthernetNative.pcap in lib/ethernet/native.ts has
void initializePacketFilter(Napi::Env env, Napi::Object exports);

}  // namespace ethernet
