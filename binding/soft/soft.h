// What the shared library libibverbs_soft.so offers to the addon that loads it. Loaded with LD_PRELOAD into any program
// it needs none of it: IBVERBS_SOFT says what devices there shall be (device/specification.h).
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// Makes the devices of a specification. 0, or an errno and its explanation.
int ibverbs_soft_open(const char* specification, uint32_t* number, char* words, size_t wordsSize);

// Makes those of IBVERBS_SOFT, if it is set and they are not there yet. 0, or an errno and its explanation. Without it
// they are made when libibverbs first looks for devices, and what is wrong is written to standard error.
int ibverbs_soft_environment(char* words, size_t wordsSize);

// Unplugs them.
void ibverbs_soft_close(uint32_t number);

// Describes the devices of an open number as lines "name=… guid=… wakeup=…" and "port=… mac=… gids=…". Returns the
// bytes that it needs; what does not fit is left out.
size_t ibverbs_soft_describe(uint32_t number, char* text, size_t size);

// What drivers did in strict mode that would hang on a card, a line each. Returns the bytes that it needs; what does
// not fit is left out.
size_t ibverbs_soft_violations(uint32_t number, char* text, size_t size);

// Takes a port's link down or up. 0 or an errno.
int ibverbs_soft_set_link(uint32_t number, const char* device, uint8_t port, int up);

typedef int (*ibverbs_soft_open_t)(const char*, uint32_t*, char*, size_t);
typedef int (*ibverbs_soft_environment_t)(char*, size_t);
typedef void (*ibverbs_soft_close_t)(uint32_t);
typedef size_t (*ibverbs_soft_describe_t)(uint32_t, char*, size_t);
typedef size_t (*ibverbs_soft_violations_t)(uint32_t, char*, size_t);
typedef int (*ibverbs_soft_set_link_t)(uint32_t, const char*, uint8_t, int);
}
