// Single rings of a register where one queue alone rings, on a strict device (nic/strict.cc), judged exactly: the page
// stays write-protected, and the NIC reads the doorbell record while the writer waits in the fault of its store.
//
// - Where the record has news, the driver wrote it first, as it must. The page is opened, and closed again once the
//   register has changed, before the NIC works on what was posted: who waits for a completion and rings anew is held
//   anew. That costs some ten microseconds a ring; a driver that rings more often than every hundred finds the page
//   open until the NIC has nothing more to do.
// - Where it has none, the store is ahead of its record, or tells again what was told (an arming at the same index, the
//   rest of a WQE that is copied into the register). The thread executes that one store (single_step.h), and the word
//   that it stored is judged by what the record said before.
// A thread that cannot be asked for that goes on as in the first case: then the NIC sees what it happens to see.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "driver/doorbell_pages.h"

namespace soft {

class Device;
struct StepOrder;

class HeldStores {
 public:
  using Devices = std::vector<std::shared_ptr<Device>>;

  explicit HeldStores(DoorbellPages& pages) : pages_(pages) {}

  // Answers the faults that there are. Whether there was something to do.
  bool serve(const Devices& devices);
  // There was no work: closes the pages that it is time for.
  void close(const Devices& devices);
  // All pages are closed, for the NIC goes to sleep.
  void closed() { open_.clear(); }
  // Whether a thread is on its step: the NIC must look on.
  bool stepping() const { return !steps_.empty(); }
  // Nobody looks any more.
  void end(const Devices& devices);

 private:
  struct Open {
    uint8_t* page;
    uint32_t rings;  // that its registers had seen then
    uint64_t since;
    bool long_;  // until there is nothing more to do
  };
  // How often a page was opened lately.
  struct Rate {
    uint8_t* page;
    uint64_t since;
    uint32_t count;
    uint32_t unseen;  // in a row for a store that did not come in time, or changed nothing
  };
  struct Step {
    StepOrder* order;
    uint8_t* page;
    uint64_t since;
  };
  void open(const Devices& devices, uint8_t* page);
  void closeSeen(const Devices& devices);
  Rate& rateOf(uint8_t* page);
  void shut(size_t index);
  bool finish(const Devices& devices);
  bool isOpen(const uint8_t* page) const;
  bool isStepping(const uint8_t* page) const;

  DoorbellPages& pages_;
  std::vector<Open> open_;
  std::vector<Rate> rates_;
  std::vector<Step> steps_;
};

}  // namespace soft
