// Filter expressions of pcap-filter(7), which libpcap compiles to classic BPF. It is opened at run time (dlopen(3)):
// where it is missing, filters throw and everything else works.
#pragma once

#include <napi.h>

namespace ethernet {

// pcap: what EthernetNative.pcap in lib/ethernet/native.ts has
void initializePacketFilter(Napi::Env env, Napi::Object exports);

}  // namespace ethernet
