#include "runtime/stream.h"

#include <chrono>
#include <cstring>
#include <utility>

namespace kvsift {

namespace {

/** After this long without work, memory that waits for reuse goes back to the system. */
constexpr auto idle_time = std::chrono::milliseconds(100);

/** Copies contents out. */
FailurePointer copy_out(const Storage& storage, void* target) {
  const auto fail = [](Code code, const std::string& sentence) { return std::make_shared<const Failure>(Failure{code, "read", "read: " + sentence}); };
  if (storage.data() == nullptr) return fail(Code::invalid_argument, "the program that makes this tensor has not run");
  if (storage.bytes() == 0) return nullptr;
  if (target == nullptr) return fail(Code::out_of_memory, "JavaScript has no memory for " + std::to_string(storage.bytes()) + " bytes");
  std::memcpy(target, storage.data(), storage.bytes());
  return nullptr;
}

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};

}  // namespace

Stream::Stream(std::shared_ptr<Memory> memory, std::size_t threads, Isa isa)
    : memory_(std::move(memory)), context_(std::make_unique<Context>(threads, isa)) {
  context_->set_cancel(&stopping_);
  thread_ = std::thread([this] { loop(); });
}

Stream::~Stream() {
  stop([] {});
  join();
}

void Stream::enqueue(Task task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Stream::push(Op op) { enqueue(std::move(op)); }
void Stream::push(std::shared_ptr<const Program> program) { enqueue(ProgramTask{std::move(program)}); }
void Stream::release(std::shared_ptr<const void> what) { enqueue(ReleaseTask{std::move(what)}); }
void Stream::finish(MarkFence fence) { enqueue(FinishTask{std::move(fence)}); }
void Stream::fence(StoragePointer storage, Fence fence) { enqueue(FenceTask{std::move(storage), std::move(fence)}); }
void Stream::read(StoragePointer storage, void* target, Fence fence) {
  const Storage* contents = storage.get();
  this->fence(std::move(storage), [contents, target, fence = std::move(fence)](const FailurePointer& failure) {
    fence(failure ? failure : copy_out(*contents, target));
  });
}
void Stream::reset_peak() { enqueue(ResetTask{}); }

void Stream::stop(std::function<void()> stopped) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopped_ = std::move(stopped);
    stopping_ = true;
  }
  wake_.notify_one();
}

void Stream::join() {
  if (thread_.joinable()) thread_.join();
}

/** Waits for a task; false when the stream has been stopped and nothing is left. */
bool Stream::next(Task& task) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return stopping_ || !queue_.empty(); };
  if (!ready() && !wake_.wait_for(lock, idle_time, ready)) {
    lock.unlock();
    memory_->trim();
    context_->release_scratch();
    lock.lock();
    wake_.wait(lock, ready);
  }
  if (queue_.empty()) return false;
  task = std::move(queue_.front());
  queue_.pop_front();
  return true;
}

void Stream::loop() {
  Task task;
  while (next(task)) {
    if (stopping_) {
      skip(task);
    } else {
      run(task);
    }
    task = ResetTask{};  // lets go of what the task held
  }
  first_failure_ = nullptr;
  context_->release_scratch();
  memory_->trim();
  stopped_();
}

void Stream::note(const Op& op, const FailurePointer& failure) {
  if (failure && op.reports && !first_failure_) first_failure_ = failure;
}

void Stream::run(Task& task) {
  std::visit(Match{
                 [this](const Op& op) { note(op, execute(*context_, op)); },
                 [this](const ProgramTask& task) {
                   for (const Op& op : task.program->ops) {
                     if (stopping_) return;
                     note(op, execute(*context_, op));
                   }
                 },
                 [](ReleaseTask& task) { task.what = nullptr; },
                 [this](const FinishTask& task) { task.fence(std::exchange(first_failure_, nullptr), {mark_seconds(), memory_->use()}); },
                 [](const FenceTask& task) { task.fence(task.storage->failure); },
                 [this](const ResetTask&) { memory_->reset_peak(); },
             },
             task);
}

void Stream::skip(Task& task) {
  const auto disposed = [](const char* op) {
    return std::make_shared<const Failure>(Failure{Code::disposed, op, std::string(op) + ": the backend was disposed before this ran"});
  };
  if (const auto* finish = std::get_if<FinishTask>(&task)) finish->fence(disposed("finish"), {});
  if (const auto* fence = std::get_if<FenceTask>(&task)) fence->fence(disposed("read"));
}

}  // namespace kvsift
