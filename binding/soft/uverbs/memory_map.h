// Whether a kernel could pin a range, by the process's memory map. No page is touched to find out.
#pragma once

#include <cstdint>

namespace soft::uverbs {

enum class Mapped : uint8_t { no, yes, unknown };

// Whether all of [start, end) is mapped and may be read, or written when `writable`: hole by hole, over as many
// mappings as there are. Unknown where there is no /proc.
Mapped mapped(uint64_t start, uint64_t end, bool writable);

// The two ways to learn it: PROCMAP_QUERY (Linux 6.11), a microsecond; and the text of /proc/self/maps, a millisecond
// in a process with a thousand mappings. Unknown where the way is not there.
Mapped mappedByQuery(uint64_t start, uint64_t end, bool writable);
Mapped mappedByText(uint64_t start, uint64_t end, bool writable);

}  // namespace soft::uverbs
