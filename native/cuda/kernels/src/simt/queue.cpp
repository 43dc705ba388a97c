#include "simt/queue.h"

#include <cstdlib>
#include <cstring>

namespace kvsift::emulated {

Graph::~Graph() {
  for (void* piece : memory) std::free(piece);
}

Queue::Queue() : thread_([this] { loop(); }) {}

Queue::~Queue() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Queue::submit(Work work) {
  if (captured_) {
    captured_->work.push_back(std::move(work));
  } else {
    submit_now(std::move(work));
  }
}

void Queue::submit_now(Work work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    submitted_++;
  }
  wake_.notify_one();
}

void Queue::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this, until = submitted_] { return finished_ >= until; });
}

void Queue::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || !work_.empty(); });
    if (work_.empty()) return;
    Work work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // lets go of what it held
    lock.lock();
    finished_++;
    done_.notify_all();
  }
}

void enqueue(Stream stream, Work work) {
  if (stream == nullptr) {
    work();
  } else {
    stream->submit(std::move(work));
  }
}

void* take_memory(Stream stream, std::size_t bytes) {
  void* memory = std::aligned_alloc(256, (bytes + 256) / 256 * 256);
  if (memory != nullptr) enqueue(stream, [=] { std::memset(memory, 0xff, bytes); });
  return memory;
}

void give_memory(Stream stream, void* memory, std::size_t bytes) {
  if (memory == nullptr) return;
  if (stream != nullptr && stream->captured() != nullptr) {
    stream->captured()->memory.push_back(memory);
    return;
  }
  enqueue(stream, [=] {
    std::memset(memory, 0xff, bytes);
    std::free(memory);
  });
}

}  // namespace kvsift::emulated
