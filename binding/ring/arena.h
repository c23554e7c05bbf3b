// Arenas: page-aligned memory inside a SharedArrayBuffer, on huge pages where asked for.
#pragma once

#include <napi.h>

namespace ring {

void initializeArena(Napi::Env env, Napi::Object exports);

}  // namespace ring
