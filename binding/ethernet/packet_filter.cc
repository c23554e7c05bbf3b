#include "ethernet/packet_filter.h"

#include <dlfcn.h>
#include <linux/filter.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "argument.h"

namespace ethernet {
namespace {

// What we use of pcap/pcap.h, whose ABI has not changed since libpcap 1.0: no header of libpcap's is needed to build.
struct pcap_t;
struct bpf_program {
  unsigned length;
  sock_filter* instructions;  // struct bpf_insn has the same layout
};

constexpr int kEthernet = 1;              // DLT_EN10MB
constexpr int kSnapLength = 262144;       // MAXIMUM_SNAPLEN
constexpr int kErrorBuffer = 256;         // PCAP_ERRBUF_SIZE
constexpr int kPermissionDenied = -8;     // PCAP_ERROR_PERM_DENIED
constexpr int kPromiscuousDenied = -11;   // PCAP_ERROR_PROMISC_PERM_DENIED
constexpr int kSmallestBuffer = 1 << 16;  // nothing is read from the handle

struct Library {
  void* handle = nullptr;
  std::string error;

  // Debian's soname is that of libpcap 0.8, whose ABI it keeps; everybody else's is libpcap.so.1.
  Library() {
    for (const char* name : {"libpcap.so.1", "libpcap.so.0.8"}) {
      handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (handle) break;
      const char* words = dlerror();
      error = words ? words : name;
    }
    if (!handle) return;
    error.clear();
#define FIND(function) find(&function, "pcap_" #function)
    FIND(open_dead);
    FIND(fopen_offline);
    FIND(create);
    FIND(set_snaplen);
    FIND(set_buffer_size);
    FIND(activate);
    FIND(compile);
    FIND(freecode);
    FIND(geterr);
    FIND(statustostr);
    FIND(close);
    FIND(lib_version);
#undef FIND
  }

  template <typename T>
  void find(T* function, const char* name) {
    *function = reinterpret_cast<T>(dlsym(handle, name));
    if (!*function && error.empty()) error = std::string(name) + " is not in it";
  }

  pcap_t* (*open_dead)(int, int) = nullptr;
  pcap_t* (*fopen_offline)(FILE*, char*) = nullptr;
  pcap_t* (*create)(const char*, char*) = nullptr;
  int (*set_snaplen)(pcap_t*, int) = nullptr;
  int (*set_buffer_size)(pcap_t*, int) = nullptr;
  int (*activate)(pcap_t*) = nullptr;
  int (*compile)(pcap_t*, bpf_program*, const char*, int, uint32_t) = nullptr;
  void (*freecode)(bpf_program*) = nullptr;
  char* (*geterr)(pcap_t*) = nullptr;
  const char* (*statustostr)(int) = nullptr;
  void (*close)(pcap_t*) = nullptr;
  const char* (*lib_version)() = nullptr;
};

const Library& library() {
  static const Library instance;  // C++11: initialised once, whichever thread comes first
  return instance;
}

struct Close {
  void operator()(pcap_t* handle) const { library().close(handle); }
};
using Handle = std::unique_ptr<pcap_t, Close>;

// A capture file without frames: only for a handle on a file does libpcap refuse what a file does not tell (inbound).
Handle openFile(char* error) {
  static struct {
    uint32_t magic = 0xa1b2c3d4;
    uint16_t major = 2, minor = 4;
    uint32_t zone = 0, precision = 0, snapLength = kSnapLength, linkType = kEthernet;
  } header;
  FILE* file = fmemopen(&header, sizeof header, "r");
  if (!file) {
    snprintf(error, kErrorBuffer, "fmemopen: %s", strerror(errno));
    return nullptr;
  }
  Handle handle(library().fopen_offline(file, error));
  if (!handle) fclose(file);
  return handle;
}

// Only for a handle that was activated on an interface does libpcap use what the kernel knows besides the frame's bytes
// (SKF_AD_* of linux/filter.h).
Handle openInterface(Napi::Env env, const std::string& name, char* error) {
  const Library& pcap = library();
  Handle handle(pcap.create(name.c_str(), error));
  if (!handle) return nullptr;
  pcap.set_snaplen(handle.get(), kSnapLength);
  pcap.set_buffer_size(handle.get(), kSmallestBuffer);
  const int status = pcap.activate(handle.get());
  if (status >= 0) return handle;  // positive ones are warnings
  const char* words = pcap.geterr(handle.get());
  snprintf(error, kErrorBuffer, "%s", *words ? words : pcap.statustostr(status));
  if (status == kPermissionDenied || status == kPromiscuousDenied) throwErrno(env, EPERM, "socket", error);
  return nullptr;
}

// compile(expression, source, interfaceName): four numbers (code, jt, jf, k) an instruction, or libpcap's own words for
// what is wrong. `source` is where the frames come from: 'socket', a packet socket on the interface; 'wire', the
// interface without what the kernel knows of a frame; 'file', a capture.
Napi::Value compile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string expression = argument::string(env, info[0], "expression");
  const std::string source = argument::string(env, info[1], "source");
  const std::string name = argument::string(env, info[2], "interfaceName");
  const Library& pcap = library();
  if (!pcap.error.empty()) throwErrno(env, ENOSYS, "pcap_compile", pcap.error);

  // Before libpcap 1.8 the compiler has global variables.
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  char error[kErrorBuffer] = "";
  // As in tcpdump, which does not ask for the interface's: 'ip broadcast' is 0.0.0.0 and 255.255.255.255.
  constexpr uint32_t kNetmask = 0;
  const Handle handle = source == "file"     ? openFile(error)
                        : source == "socket" ? openInterface(env, name, error)
                                             : Handle(pcap.open_dead(kEthernet, kSnapLength));
  if (!handle) return Napi::String::New(env, *error ? error : "out of memory");
  bpf_program program{};
  if (pcap.compile(handle.get(), &program, expression.c_str(), 1, kNetmask)) {
    return Napi::String::New(env, pcap.geterr(handle.get()));
  }
  Napi::Uint32Array numbers = Napi::Uint32Array::New(env, program.length * 4);
  for (unsigned i = 0; i < program.length; i++) {
    const sock_filter& instruction = program.instructions[i];
    numbers[i * 4] = instruction.code;
    numbers[i * 4 + 1] = instruction.jt;
    numbers[i * 4 + 2] = instruction.jf;
    numbers[i * 4 + 3] = instruction.k;
  }
  pcap.freecode(&program);
  return numbers;
}

// library(): { path, version, error } of libpcap; what is not known is an empty string
Napi::Value describe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Library& pcap = library();
  Dl_info symbol{};
  const bool found = pcap.error.empty() && dladdr(reinterpret_cast<void*>(pcap.compile), &symbol);
  Napi::Object result = Napi::Object::New(env);
  result.Set("path", Napi::String::New(env, found ? symbol.dli_fname : ""));
  result.Set("version", Napi::String::New(env, pcap.error.empty() ? pcap.lib_version() : ""));
  result.Set("error", Napi::String::New(env, pcap.error));
  return result;
}

}  // namespace

void initializePacketFilter(Napi::Env env, Napi::Object exports) {
  Napi::Object filter = Napi::Object::New(env);
  filter.Set("compile", Napi::Function::New<compile>(env, "compile"));
  filter.Set("library", Napi::Function::New<describe>(env, "library"));
  exports.Set("pcap", filter);
}

}  // namespace ethernet
