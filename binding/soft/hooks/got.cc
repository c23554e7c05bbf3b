#include "hooks/got.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace soft {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT, kGlobDat = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT, kGlobDat = R_AARCH64_GLOB_DAT;
#else
#error "the software ConnectX is for x86-64 and AArch64"
#endif

// The entries of an object's dynamic section (elf(5), DT_*) that lead to its relocations.
struct Dynamic {
  const ElfW(Sym)* symbols = nullptr;
  const char* strings = nullptr;
  const ElfW(Rela)* tables[2] = {nullptr, nullptr};  // DT_JMPREL, DT_RELA
  size_t sizes[2] = {0, 0};
  std::vector<size_t> needed;  // offsets into the strings
};

Dynamic readDynamic(const dl_phdr_info& info) {
  Dynamic found;
  const ElfW(Dyn)* entry = nullptr;
  for (int i = 0; i < info.dlpi_phnum; i++) {
    if (info.dlpi_phdr[i].p_type == PT_DYNAMIC)
      entry = reinterpret_cast<const ElfW(Dyn)*>(info.dlpi_addr + info.dlpi_phdr[i].p_vaddr);
  }
  if (!entry) return found;
  // glibc has relocated these addresses in place, musl has not.
  const auto at = [&info](ElfW(Addr) address) { return address < info.dlpi_addr ? info.dlpi_addr + address : address; };
  for (; entry->d_tag != DT_NULL; entry++) {
    switch (entry->d_tag) {
      case DT_SYMTAB: found.symbols = reinterpret_cast<const ElfW(Sym)*>(at(entry->d_un.d_ptr)); break;
      case DT_STRTAB: found.strings = reinterpret_cast<const char*>(at(entry->d_un.d_ptr)); break;
      case DT_JMPREL: found.tables[0] = reinterpret_cast<const ElfW(Rela)*>(at(entry->d_un.d_ptr)); break;
      case DT_PLTRELSZ: found.sizes[0] = entry->d_un.d_val; break;
      case DT_RELA: found.tables[1] = reinterpret_cast<const ElfW(Rela)*>(at(entry->d_un.d_ptr)); break;
      case DT_RELASZ: found.sizes[1] = entry->d_un.d_val; break;
      case DT_NEEDED: found.needed.push_back(entry->d_un.d_val); break;
      default: break;
    }
  }
  return found;
}

bool isRelro(const dl_phdr_info& info, uintptr_t address) {
  for (int i = 0; i < info.dlpi_phnum; i++) {
    const auto& header = info.dlpi_phdr[i];
    if (header.p_type != PT_GNU_RELRO) continue;
    const uintptr_t start = info.dlpi_addr + header.p_vaddr;
    if (address >= start && address < start + header.p_memsz) return true;
  }
  return false;
}

// `readOnly`: after relocation the linker made the page read-only (PT_GNU_RELRO).
void store(uintptr_t slot, void* value, bool readOnly) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  void* start = reinterpret_cast<void*>(slot & ~(page - 1));
  if (readOnly && mprotect(start, page, PROT_READ | PROT_WRITE)) return;
  // Other threads may be calling through it.
  __atomic_store_n(reinterpret_cast<void**>(slot), value, __ATOMIC_RELEASE);
  if (readOnly) mprotect(start, page, PROT_READ);
}

std::string baseName(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

}  // namespace

void GotPatches::apply(const std::vector<Replacement>& replacements, Whose whose, bool (*wanted)(const std::string&)) {
  struct Search {
    const std::vector<Replacement>& replacements;
    Whose whose;
    bool (*wanted)(const std::string&);
    std::vector<Object>& objects;
  } search{replacements, whose, wanted, objects_};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& search = *static_cast<Search*>(data);
        if (!info->dlpi_name) return 0;
        for (const Object& known : search.objects) {
          if (known.base == info->dlpi_addr && known.path == info->dlpi_name) return 0;
        }
        const Dynamic dynamic = readDynamic(*info);
        if (!dynamic.symbols || !dynamic.strings) return 0;
        bool wanted = search.wanted(baseName(info->dlpi_name));
        if (search.whose == Whose::dependents) {
          for (const size_t needed : dynamic.needed) wanted = wanted || search.wanted(dynamic.strings + needed);
        }
        if (!wanted) return 0;
        for (int table = 0; table < 2; table++) {
          const size_t count = dynamic.tables[table] ? dynamic.sizes[table] / sizeof(ElfW(Rela)) : 0;
          for (size_t i = 0; i < count; i++) {
            const ElfW(Rela)& relocation = dynamic.tables[table][i];
            const uint32_t type = ELF64_R_TYPE(relocation.r_info);
            if (type != kJumpSlot && type != kGlobDat) continue;
            const char* name = dynamic.strings + dynamic.symbols[ELF64_R_SYM(relocation.r_info)].st_name;
            for (const Replacement& replacement : search.replacements) {
              if (strcmp(name, replacement.name) != 0) continue;
              const uintptr_t address = info->dlpi_addr + relocation.r_offset;
              store(address, replacement.function, isRelro(*info, address));
            }
          }
        }
        search.objects.push_back({info->dlpi_name, info->dlpi_addr});
        return 0;
      },
      &search);
}

}  // namespace soft
