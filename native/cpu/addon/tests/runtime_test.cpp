#include <cstdint>
#include <cstring>
#include <future>
#include <thread>

#include "launch/algebra.h"
#include "launch/backend.h"
#include "launch/host.h"
#include "tests/test.h"

namespace kvsift::tests {

namespace {

/** Bytes that wait for reuse after blocks of 10 MB have been in use, counted as tensors' or not. */
std::size_t idle_after(std::size_t count, bool counted) {
  constexpr std::size_t bytes = 10'000'000;
  Memory memory(0);
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < count; i++) blocks.push_back(memory.allocate(bytes));
  if (counted) memory.add(count * bytes, false);
  if (counted) memory.remove(count * bytes, false);
  for (const Block& block : blocks) memory.release(block);
  return memory.idle_bytes();
}

}  // namespace

void test_memory(Report& report) {
  report.check(idle_after(4, false) >= 40'000'000, "a few large blocks wait");
  report.check(idle_after(12, false) <= std::size_t{48} << 20, "more than that do not");
  report.check(idle_after(12, true) >= 120'000'000, "but as much as was in use at once before does");
  Memory memory(100'000'000);
  std::vector<Block> blocks;
  bool aligned = true;
  bool apart = true;
  for (std::size_t bytes = 1; bytes < 3'000'000; bytes = bytes * 3 / 2 + 1) {
    const Block block = memory.allocate(bytes);
    aligned = aligned && reinterpret_cast<std::uintptr_t>(block.data) % 64 == 0 && block.capacity >= bytes;
    std::memset(block.data, 0x5a, bytes);
    for (const Block& other : blocks) {
      const auto* from = static_cast<std::byte*>(block.data);
      const auto* begin = static_cast<std::byte*>(other.data);
      apart = apart && (from >= begin + other.capacity || from + block.capacity <= begin);
    }
    blocks.push_back(block);
  }
  report.check(aligned, "blocks are aligned and large enough");
  report.check(apart, "blocks do not overlap");
  for (const Block& block : blocks) memory.release(block);
  // Of the class of a block of 709 bytes: no power of two, which the rests of slabs are cut into.
  const Block again = memory.allocate(700);
  bool reused = false;
  for (const Block& block : blocks) reused = reused || block.data == again.data;
  report.check(reused, "a freed block is used again");
  memory.release(again);
  report.check(memory.idle_bytes() > 0, "large blocks wait for reuse");
  memory.trim();
  report.check(memory.idle_bytes() == 0, "trim gives them back");
  memory.add(60'000'000, false);
  bool refused = false;
  try {
    memory.add(60'000'000, false);
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  report.check(refused && memory.use().bytes == 60'000'000 && memory.use().peak_bytes == 60'000'000, "the limit holds");
}

namespace {

/** Contents of a tensor, through the stream. */
std::vector<float> read(Backend& backend, const Tensor& tensor) {
  std::promise<std::vector<float>> promise;
  backend.stream().fence(tensor.storage, [&](const FailurePointer& failure) {
    promise.set_value(failure ? std::vector<float>() : std::vector<float>(tensor.floats(), tensor.floats() + tensor.count()));
  });
  return promise.get_future().get();
}

FailurePointer finish(Backend& backend) {
  std::promise<FailurePointer> promise;
  backend.stream().finish([&](const FailurePointer& failure, const Mark&) { promise.set_value(failure); });
  return promise.get_future().get();
}

}  // namespace

void test_stream(Report& report) {
  BackendOptions options;
  options.threads = 2;
  options.memory_limit = 1 << 24;
  Backend backend(options);
  const std::vector<float> values = noise(1000);
  Tensor x = launch::upload(backend, values.data(), values.size() * sizeof(float), DType::f32, {10, 100});
  backend.hold(x);
  std::vector<float> expected = values;
  Tensor y = launch::map(backend, ops::UnaryOp::neg, x);
  backend.hold(y);
  for (float& value : expected) value = -value;
  report.near(read(backend, y), expected, "an op runs after its input");

  backend.begin_recording();
  const Tensor middle = launch::map(backend, ops::UnaryOp::square, x);
  backend.hold(middle);
  const Tensor out = launch::zip(backend, ops::BinaryOp::add, middle, 1.0f);
  backend.let_go(middle);
  const auto program = backend.end_recording();
  for (int round = 1; round <= 3; round++) {
    std::vector<float> now(values);
    for (float& value : now) value *= static_cast<float>(round);
    launch::write(backend, x, now.data(), now.size() * sizeof(float));
    backend.stream().push(program);
    for (float& value : now) value = value * value + 1;
    report.near(read(backend, out), now, "a program runs with what its input holds");
  }
  report.check(middle.storage->data() == nullptr, "a program gives back what nobody holds");

  const Tensor large = launch::empty(backend, DType::f32, {1 << 23});
  const Tensor after = launch::map(backend, ops::UnaryOp::exp, large);
  report.check(read(backend, after).empty(), "a failure is passed on");
  const FailurePointer failure = finish(backend);
  report.check(failure && failure->code == Code::out_of_memory && failure->op == "empty", "finish tells the first failure");
  report.check(finish(backend) == nullptr, "and tells it once");
  backend.let_go(std::move(x));
  backend.let_go(std::move(y));
}

}  // namespace kvsift::tests
