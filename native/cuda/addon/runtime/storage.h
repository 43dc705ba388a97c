#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/check.h"
#include "runtime/memory.h"

namespace kvsift {

struct Weight;

/**
 * Device memory behind one or more tensors. It is set aside when the op that fills it is enqueued and given back, in stream order, when the last
 * tensor and op that use it are gone. Apart from `handles` and `recording` everything belongs to the executor.
 */
class Storage {
 public:
  Storage(std::shared_ptr<Memory> memory, std::size_t bytes, bool counts_as_weight = false)
      : memory_(std::move(memory)), bytes_(bytes), counts_as_weight_(counts_as_weight) {}
  ~Storage() { drop(); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::size_t bytes() const { return bytes_; }
  void* data() const { return block_.data; }

  /** Sets the memory aside where that has not happened yet. @throws NoRoom */
  void ensure() {
    if (block_.data != nullptr) return;
    memory_->add(bytes_, counts_as_weight_);
    try {
      block_ = memory_->allocate(bytes_);
    } catch (...) {
      memory_->remove(bytes_, counts_as_weight_);
      throw;
    }
  }

  /** Gives the memory back; a later op may fill the storage anew. */
  void drop() {
    failure = nullptr;
    checks.clear();
    if (block_.data == nullptr) return;
    memory_->remove(bytes_, counts_as_weight_);
    memory_->release(block_);
    block_ = {};
  }

  /** Why the contents do not exist; null where they do, as far as the host knows. */
  FailurePointer failure;
  /** Ops that the contents come from and of which only the device knows whether they went well. */
  Checks checks;
  /** Number of the last op that wrote the contents. */
  std::uint64_t written = 0;
  /** Set for weights: those have no block of their own. */
  std::shared_ptr<Weight> weight;

  /** Tensors that JavaScript holds (JavaScript's thread). */
  int handles = 0;
  /** Recording in which it was made; 0: none (JavaScript's thread). */
  std::uint64_t recording = 0;

 private:
  std::shared_ptr<Memory> memory_;
  std::size_t bytes_;
  bool counts_as_weight_;
  Block block_;
};

using StoragePointer = std::shared_ptr<Storage>;

}  // namespace kvsift
