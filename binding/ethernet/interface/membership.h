// Which frames the device lets through besides those to its own address (packet(7), PACKET_ADD_MEMBERSHIP). The kernel
// counts memberships by socket and drops them with it.
#pragma once

#include <napi.h>

#include <cstdint>

namespace ethernet {

// Argument `value` as an Ethernet address, null when it is undefined.
const uint8_t* addressOf(Napi::Env env, Napi::Value value);

// Adds or drops PACKET_MR_MULTICAST, PACKET_MR_PROMISC or PACKET_MR_ALLMULTI. Throws the VerbsError.
void changeMembership(Napi::Env env, int fd, int32_t interfaceIndex, bool add, uint16_t type, const uint8_t* address);

}  // namespace ethernet
