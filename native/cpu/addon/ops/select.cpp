#include "ops/select.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>

#include "ops/order.h"
#include "runtime/failure.h"

namespace kvsift::ops {

namespace {

/** Entries of one head that must stay. */
bool is_protected(const TopArguments& arguments, std::size_t head, std::size_t index) {
  return index < arguments.protect_first || index >= arguments.length - arguments.protect_last ||
         (arguments.protect != nullptr && arguments.protect[head * arguments.length + index] != 0);
}

/**
 * The key at place `at` in ascending order, by the first bits of all keys and then among those that share them: as fast for scores that rise or fall
 * as for any others. `room`: as many keys and one.
 */
std::uint64_t key_at(const std::uint64_t* keys, std::size_t count, std::size_t at, std::uint64_t* room) {
  constexpr int bits = 11;
  std::array<std::uint32_t, std::size_t{1} << bits> tally{};
  for (std::size_t i = 0; i < count; i++) tally[keys[i] >> (64 - bits)]++;
  std::size_t before = 0;
  std::size_t group = 0;
  while (before + tally[group] <= at) before += tally[group++];
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; i++) {
    room[found] = keys[i];
    found += keys[i] >> (64 - bits) == group ? 1 : 0;
  }
  std::nth_element(room, room + (at - before), room + found);
  return room[at - before];
}

/** Keeps `count` entries of a head; false where more are protected. `keys`: room for two numbers per entry, and one. */
bool top_head(const TopArguments& arguments, std::size_t head, std::size_t count, std::uint64_t* keys, std::int32_t* out) {
  const std::size_t length = arguments.length;
  const float* scores = arguments.scores + head * length;
  if (count == length) {
    for (std::size_t i = 0; i < length; i++) out[i] = static_cast<std::int32_t>(i);
    return true;
  }
  std::size_t safe = 0;
  for (std::size_t i = 0; i < length; i++) {
    const bool stays = is_protected(arguments, head, i);
    safe += stays ? 1 : 0;
    keys[i] = order_key(stays ? 0 : descending(scores[i]), i);
  }
  if (safe > count) return false;
  if (count == 0) return true;
  const std::uint64_t last = key_at(keys, length, count - 1, keys + length);
  for (std::size_t i = 0; i < length; i++) {
    if (keys[i] <= last) *out++ = static_cast<std::int32_t>(i);
  }
  return true;
}

}  // namespace

void top(Context& context, const TopArguments& arguments, std::int32_t* indices, std::int32_t* offsets) {
  std::size_t sum = 0;
  offsets[0] = 0;
  for (std::size_t head = 0; head < arguments.heads; head++) {
    const std::int64_t count = arguments.counts == nullptr ? static_cast<std::int64_t>(arguments.keep) : arguments.counts[head];
    if (count < 0 || static_cast<std::size_t>(count) > arguments.max || static_cast<std::size_t>(count) > arguments.length) {
      throw Fault(Code::invalid_argument, "top", "top: head " + std::to_string(head) + " is to keep " + std::to_string(count) + " entries of " +
                                                     std::to_string(arguments.length) + ", at most " + std::to_string(arguments.max));
    }
    sum += static_cast<std::size_t>(count);
    offsets[head + 1] = static_cast<std::int32_t>(sum);
  }
  if (sum != arguments.total) {
    throw Fault(Code::invalid_argument, "top", "top: the counts sum to " + std::to_string(sum) + ", not to the total " + std::to_string(arguments.total));
  }
  std::atomic<bool> crowded{false};
  context.parallel_for(arguments.heads, 1, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    auto* keys = static_cast<std::uint64_t*>(context.thread_scratch(thread, (2 * arguments.length + 1) * sizeof(std::uint64_t)));
    for (std::size_t head = begin; head < end; head++) {
      const auto count = static_cast<std::size_t>(offsets[head + 1] - offsets[head]);
      if (!top_head(arguments, head, count, keys, indices + offsets[head])) crowded = true;
    }
  });
  if (crowded) throw Fault(Code::invalid_argument, "top", "top: a head has more protected entries than it is to keep");
}

void top_shares(Context& context, const float* scores, std::size_t heads, std::size_t length, std::size_t total, std::int32_t* out) {
  const std::size_t count = heads * length;
  std::fill(out, out + heads, 0);
  if (total == 0) return;
  auto* keys = static_cast<std::uint64_t*>(context.shared_scratch(0, (2 * count + 1) * sizeof(std::uint64_t)));
  context.parallel_for(count, 16384, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t i = begin; i < end; i++) keys[i] = order_key(descending(scores[i]), i);
  });
  const std::uint64_t last = key_at(keys, count, total - 1, keys + count);
  for (std::size_t i = 0; i < count; i++) out[i / length] += keys[i] <= last ? 1 : 0;
}

void round_shares(Context& context, const float* shares, std::size_t count, std::size_t total, std::size_t cap, std::int32_t* out) {
  struct Rest {
    double remainder;
    std::size_t index;
  };
  auto* rests = static_cast<Rest*>(context.shared_scratch(0, std::max<std::size_t>(1, count) * sizeof(Rest)));
  std::int64_t missing = static_cast<std::int64_t>(total);
  for (std::size_t i = 0; i < count; i++) {
    const double share = shares[i] == shares[i] ? shares[i] : 0;
    const double whole = std::clamp(std::floor(share), 0.0, static_cast<double>(cap));
    out[i] = static_cast<std::int32_t>(whole);
    missing -= out[i];
    rests[i] = {share - whole, i};
  }
  std::sort(rests, rests + count, [](const Rest& a, const Rest& b) { return a.remainder != b.remainder ? a.remainder > b.remainder : a.index < b.index; });
  while (missing > 0) {
    for (std::size_t i = 0; i < count && missing > 0; i++) {
      if (static_cast<std::size_t>(out[rests[i].index]) >= cap) continue;
      out[rests[i].index]++;
      missing--;
    }
  }
  while (missing < 0) {
    for (std::size_t i = count; i-- > 0 && missing < 0;) {
      if (out[rests[i].index] <= 0) continue;
      out[rests[i].index]--;
      missing++;
    }
  }
}

}  // namespace kvsift::ops
