// Every failure that leaves the binding is a VerbsError (lib/errors.ts), or a TypeError or RangeError that names the
// argument. What mends a failure is policy, and stands in lib/errors.ts.
#pragma once

#include <napi.h>

#include <string>

// Throws VerbsError for a system or library call that failed. `error` is a positive errno value.
[[noreturn]] void throwErrno(Napi::Env env, int error, const char* syscall, const std::string& detail = "");

// Throws TypeError with code ERR_INVALID_ARG_TYPE.
[[noreturn]] void throwArgumentType(Napi::Env env, const char* argument, const char* expected);

// Throws RangeError with code ERR_OUT_OF_RANGE.
[[noreturn]] void throwArgumentRange(Napi::Env env, const char* argument, const std::string& expected);

// Throws Error with code ERR_IBVERBS_CLOSED: the handle was closed, or belongs to another thread's environment.
[[noreturn]] void throwClosed(Napi::Env env, const char* what);
