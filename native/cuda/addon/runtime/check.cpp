#include "runtime/check.h"

#include <string>

#include "runtime/kernels.h"

namespace kvsift {

namespace {

struct Sentence {
  std::int32_t bit;
  const char* text;
};

constexpr Sentence sentences[] = {
    {KVSIFT_CUDA_FAULT_TOP_COUNTS, "the counts do not sum to the total, or a head shall keep more entries than it has or than the bound says"},
    {KVSIFT_CUDA_FAULT_TOP_PROTECTED, "a head has more protected entries than it may keep"},
    {KVSIFT_CUDA_FAULT_EMBEDDING_ID, "an id is not in the table"},
    {KVSIFT_CUDA_FAULT_KV_RANGE, "a head of the cache has entries outside its memory"},
    {KVSIFT_CUDA_FAULT_KV_LENGTH, "a head of the cache holds another number of entries than the view says"},
    {KVSIFT_CUDA_FAULT_KV_SELECTION, "the selection names a slot that its head does not hold, or its offsets do not run from 0 to the total"},
};

}  // namespace

FaultWord FaultWords::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    slabs_.push_back(device_->pinned(slab_words * sizeof(std::int32_t)));
    auto* words = static_cast<std::int32_t*>(slabs_.back().get());
    for (std::size_t i = 0; i < slab_words; i++) free_.push_back(words + i);
  }
  volatile std::int32_t* word = free_.back();
  free_.pop_back();
  *word = 0;
  return {word, [self = shared_from_this()](volatile std::int32_t* back) {
            const std::lock_guard again(self->mutex_);
            self->free_.push_back(back);
          }};
}

FailurePointer Check::failure() const {
  const std::int32_t bits = *word;
  if (bits == 0) return nullptr;
  std::string text;
  for (const Sentence& sentence : sentences) {
    if ((bits & sentence.bit) != 0) text += (text.empty() ? "" : "; ") + std::string(sentence.text);
  }
  return std::make_shared<const Failure>(Failure{Code::invalid_argument, op, std::string(op) + ": " + text});
}

const Check* first_failed(const Checks& checks) {
  const Check* first = nullptr;
  for (const CheckPointer& check : checks) {
    if (*check->word != 0 && (first == nullptr || check->ordinal < first->ordinal)) first = check.get();
  }
  return first;
}

}  // namespace kvsift
