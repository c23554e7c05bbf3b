// The commands on queue pairs, of several files.
#pragma once

#include "uverbs/verbs_file.h"

namespace soft::uverbs {

int createQueuePair(VerbsFile& file, const Command& command);
int createQueuePairExtended(VerbsFile& file, const Command& command);
int destroyQueuePair(VerbsFile& file, const Command& command);

}  // namespace soft::uverbs
