#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kvsift::emulated {

using Work = std::function<void()>;

/** What a stream captured, with the memory that was taken and given back meanwhile. */
struct Graph {
  std::vector<Work> work;
  std::vector<void*> memory;
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
};

/**
 * A stream of the emulated device: work runs in order, later, on a thread of its own. So whoever gives memory away before the device has used it, or
 * reads results without waiting, is found out.
 */
class Queue {
 public:
  Queue();
  /** Runs what is left. */
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /** Adds work, or captures it. */
  void submit(Work work);
  /** Adds work even while others are captured. */
  void submit_now(Work work);
  /** Until everything submitted so far has run. */
  void wait();
  void begin_capture() { captured_ = std::make_shared<Graph>(); }
  std::shared_ptr<Graph> end_capture() { return std::move(captured_); }
  Graph* captured() const { return captured_.get(); }

 private:
  void loop();

  std::shared_ptr<Graph> captured_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::deque<Work> work_;
  std::size_t submitted_ = 0;
  std::size_t finished_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

/** A cudaStream_t; null runs everything at once. */
using Stream = Queue*;

void enqueue(Stream stream, Work work);
/** Device memory in stream order, full of NaN; null where there is none. */
void* take_memory(Stream stream, std::size_t bytes);
void give_memory(Stream stream, void* memory, std::size_t bytes);

}  // namespace kvsift::emulated
