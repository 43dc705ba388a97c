#include "runtime/stream.h"

#include <chrono>
#include <cstring>
#include <utility>

namespace kvsift {

namespace {

/** For so long the thread looks for work by itself: calls of a caller come in bursts, and waking a thread costs each of them more than all the rest. */
constexpr auto patience = std::chrono::microseconds(50);
/** After this long without work, memory that waits for reuse goes back to the system. */
constexpr auto idle_time = std::chrono::seconds(2);
/** Settled checks are looked for when there are this many. */
constexpr std::size_t many_checks = 256;

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};

FailurePointer failure(Code code, const char* op, const std::string& sentence) {
  return std::make_shared<const Failure>(Failure{code, op, std::string(op) + ": " + sentence});
}

}  // namespace

Stream::Stream(const BackendOptions& options)
    : device_(Device::open(options)), memory_(std::make_shared<Memory>(device_, options.memory_limit)), context_(memory_), waiter_(device_) {
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
    queued_.store(true, std::memory_order_release);
  }
  wake_.notify_one();
}

void Stream::push(Op op) { enqueue(std::move(op)); }
void Stream::push(std::shared_ptr<const Program> program) { enqueue(ProgramTask{std::move(program)}); }
void Stream::release(std::shared_ptr<const void> what) { enqueue(ReleaseTask{std::move(what)}); }
void Stream::finish(MarkFence fence) { enqueue(FinishTask{std::move(fence)}); }
void Stream::fence(StoragePointer storage, Fence fence) { enqueue(ReadTask{std::move(storage), nullptr, false, std::move(fence)}); }
void Stream::read(StoragePointer storage, void* target, Fence fence) { enqueue(ReadTask{std::move(storage), target, true, std::move(fence)}); }
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
  const auto last = std::chrono::steady_clock::now() + patience;
  while (!queued_.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < last) std::this_thread::yield();
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return stopping_ || !queue_.empty(); };
  if (!ready() && !wake_.wait_for(lock, idle_time, ready)) {
    lock.unlock();
    rest();
    lock.lock();
    wake_.wait(lock, ready);
  }
  if (queue_.empty()) return false;
  task = std::move(queue_.front());
  queue_.pop_front();
  queued_.store(!queue_.empty(), std::memory_order_release);
  return true;
}

/** Nothing to do for a while: memory that nobody uses goes back. */
void Stream::rest() {
  try {
    context_.let_go();
  } catch (const Fault&) {
    // Whoever waits for the device hears of it.
  }
  device_->trim();
}

void Stream::loop() {
  device_->enter();
  Task task;
  while (next(task)) {
    if (stopping_) {
      skip(task);
    } else {
      run(task);
    }
    task = ResetTask{};  // lets go of what the task held
  }
  // What the device still works on must be through before its memory goes.
  waiter_.end();
  try {
    device_->synchronise();
  } catch (const Fault&) {
    // Whoever waited for the work knows already.
  }
  first_failure_ = nullptr;
  since_finish_.clear();
  rest();
  stopped_();
}

void Stream::note(const Op& op, const Executed& done) {
  const std::uint64_t ordinal = context_.count();
  if (done.failure && op.reports && !first_failure_) {
    first_failure_ = done.failure;
    first_ordinal_ = ordinal;
  }
  if (!done.check) return;
  done.check->ordinal = ordinal;
  since_finish_.push_back(done.check);
  if (since_finish_.size() >= many_checks) prune();
}

void Stream::prune() {
  const std::uint64_t passed = context_.passed().load(std::memory_order_acquire);
  std::erase_if(since_finish_, [passed](const CheckPointer& check) { return check->ordinal <= passed && *check->word == 0; });
}

void Stream::after(std::function<void(const FailurePointer& device)> then) {
  Event event;
  FailurePointer broken;
  try {
    event = device_->record();
  } catch (const Fault& fault) {
    broken = fault.failure();
  }
  if (broken) return then(broken);
  waiter_.add(std::move(event), [this, ordinal = context_.ordinal(), then = std::move(then)](const FailurePointer& device) {
    if (!device) context_.passed().store(ordinal, std::memory_order_release);
    then(device);
  });
}

void Stream::run(Task& task) {
  std::visit(Match{
                 [this](const Op& op) { note(op, execute(context_, op)); },
                 [this](const ProgramTask& task) {
                   run_program(context_, *memory_, *task.program, [this] { return stopping_.load(); },
                               [this](const Op& op, const Executed& done) { note(op, done); });
                 },
                 [](ReleaseTask& task) { task.what = nullptr; },
                 [this](const FinishTask& task) { finish_now(task); },
                 [this](const ReadTask& task) { read_now(task); },
                 [this](const ResetTask&) { memory_->reset_peak(); },
             },
             task);
}

void Stream::finish_now(const FinishTask& task) {
  const FailurePointer host = std::exchange(first_failure_, nullptr);
  const std::uint64_t host_ordinal = first_ordinal_;
  Checks checks = std::exchange(since_finish_, {});
  after([fence = task.fence, host, host_ordinal, checks = std::move(checks), use = memory_->use()](const FailurePointer& device) {
    const Mark mark{mark_seconds(), use};
    if (device) return fence(host ? host : device, mark);
    Checks reporting = checks;
    std::erase_if(reporting, [](const CheckPointer& check) { return !check->reports; });
    const Check* failed = first_failed(reporting);
    fence(failed != nullptr && (!host || failed->ordinal < host_ordinal) ? failed->failure() : host, mark);
  });
}

void Stream::read_now(const ReadTask& task) {
  Storage& storage = *task.storage;
  if (storage.failure) return task.fence(storage.failure);
  std::shared_ptr<void> copy;
  const std::size_t bytes = task.copies ? storage.bytes() : 0;
  if (task.copies) {
    if (storage.data() == nullptr) return task.fence(failure(Code::invalid_argument, "read", "the program that makes this tensor has not run"));
    if (bytes > 0 && task.target == nullptr) {
      return task.fence(failure(Code::out_of_memory, "read", "JavaScript has no memory for " + std::to_string(bytes) + " bytes"));
    }
    try {
      copy = device_->host_memory().take(bytes);
      if (bytes > 0) device_->copy_out(copy.get(), storage.data(), bytes);
    } catch (const Fault& fault) {
      return task.fence(fault.failure());
    } catch (const std::bad_alloc&) {
      return task.fence(failure(Code::out_of_memory, "read", "there is no host memory for " + std::to_string(bytes) + " bytes"));
    }
  }
  after([fence = task.fence, target = task.target, bytes, copy, checks = storage.checks](const FailurePointer& device) {
    if (device) return fence(device);
    if (const Check* failed = first_failed(checks)) return fence(failed->failure());
    if (bytes > 0) std::memcpy(target, copy.get(), bytes);
    fence(nullptr);
  });
}

void Stream::skip(Task& task) {
  if (const auto* finish = std::get_if<FinishTask>(&task)) finish->fence(failure(Code::disposed, "finish", "the backend was disposed before this ran"), {});
  if (const auto* read = std::get_if<ReadTask>(&task)) read->fence(failure(Code::disposed, "read", "the backend was disposed before this ran"));
}

}  // namespace kvsift
