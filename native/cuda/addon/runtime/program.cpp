#include "runtime/program.h"

#include <algorithm>
#include <unordered_set>

namespace kvsift {

/** A graph and what a replay of it has to do around it. */
struct Program::Capture {
  Capture(Memory& own_memory, std::size_t own_room) : memory(own_memory), room(own_room) {
    if (room > 0) words = memory.allocate(room * sizeof(std::int32_t));
  }
  ~Capture() { memory.release(words); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  Memory& memory;
  /** Fault words of the ops, on the device; they are not counted as memory of tensors. */
  std::size_t room;
  Block words;
  DeviceGraph graph;
  /** What the graph reads on the host; empty: nothing. */
  std::shared_ptr<const Kept> kept;
  /** First word of each op and the one behind its last: most ops have none. */
  std::vector<std::size_t> word_of;
  /** Storages that the program reads before it fills them. */
  std::vector<StoragePointer> outside;
  /** Bytes in use while it runs, beyond those before and after. */
  std::size_t extra_bytes = 0;
};

namespace {

std::vector<StoragePointer> outside_of(const Program& program) {
  std::vector<StoragePointer> out;
  std::unordered_set<const Storage*> made;
  for (const Op& op : program.ops) {
    for (const StoragePointer& input : op.inputs) {
      if (made.insert(input.get()).second) out.push_back(input);
    }
    for (const StoragePointer& output : op.outputs) made.insert(output.get());
  }
  return out;
}

/** Op by op. @return false where one failed */
bool run_plain(Context& context, const Program& program, const std::function<bool()>& stopping, const Noted& noted) {
  bool good = true;
  for (const Op& op : program.ops) {
    if (stopping()) return false;
    const Executed done = execute(context, op);
    good = good && !done.failure;
    for (const StoragePointer& output : op.outputs) good = good && !output->failure;
    noted(op, done);
  }
  return good;
}

/** Storages that have no memory before the program runs. */
std::vector<StoragePointer> without_memory(const Program& program) {
  std::vector<StoragePointer> out;
  for (const Op& op : program.ops) {
    for (const StoragePointer& output : op.outputs) {
      if (!output->weight && output->data() == nullptr) out.push_back(output);
    }
  }
  return out;
}

bool any_failed(const std::vector<StoragePointer>& storages) {
  return std::ranges::any_of(storages, [](const StoragePointer& storage) { return storage->failure != nullptr; });
}

/** The graph of a program that has run once; null where the device or an op would not have it. */
std::shared_ptr<Program::Capture> capture(Context& context, Memory& memory, const Program& program) {
  std::vector<StoragePointer> outside = outside_of(program);
  // Ops that inherit a failure enqueue nothing: the graph would go without them for ever.
  if (any_failed(outside)) return nullptr;
  std::shared_ptr<Program::Capture> made;
  try {
    // Ops ask for a word each at most.
    made = std::make_shared<Program::Capture>(memory, program.ops.size());
    context.device().begin_capture();
  } catch (const std::exception&) {
    return nullptr;
  }
  made->outside = std::move(outside);
  const std::vector<StoragePointer> passing = without_memory(program);
  memory.begin_window();
  context.begin_capture(static_cast<std::int32_t*>(made->words.data), made->room);
  FailurePointer failure;
  std::size_t count = 0;
  for (const Op& op : program.ops) {
    made->word_of.push_back(count);
    failure = execute(context, op).failure;
    if (failure) {
      // Nothing has happened to what it would have changed: the ops are about to run one by one.
      for (const StoragePointer& output : op.outputs) output->failure = nullptr;
      break;
    }
    count = context.captured_words();
  }
  made->word_of.push_back(count);
  if (Kept kept = context.end_capture(); !kept.empty()) made->kept = std::make_shared<const Kept>(std::move(kept));
  made->graph = context.device().end_capture();
  made->extra_bytes = memory.end_window();
  if (!failure && made->graph) return made;
  // A lack of memory passes; what the device cannot capture it never will.
  program.plain_for_ever = !failure || failure->code != Code::out_of_memory;
  // What was taken while the capture ran belongs to a graph that is not: it was never there.
  for (const StoragePointer& storage : passing) storage->drop();
  context.device().forget_capture();
  return nullptr;
}

void replay(Context& context, Memory& memory, const Program& program, const Program::Capture& made, const Noted& noted) {
  Device& device = context.device();
  const std::size_t count = made.word_of.back();
  if (count > 0) device.fill(made.words.data, 0, count * sizeof(std::int32_t));
  device.launch(made.graph);
  // The program may be gone before the device has read what the graph copies from the host.
  if (made.kept) context.keep(made.kept);
  memory.touch(made.extra_bytes);
  std::vector<CheckPointer> checks(program.ops.size());
  if (count > 0) {
    // Each run has words of its own, so that a failure of this run is not taken for one of the next.
    const std::shared_ptr<void> words = device.host_memory().take(count * sizeof(std::int32_t));
    device.copy_out(words.get(), made.words.data, count * sizeof(std::int32_t));
    for (std::size_t i = 0; i < program.ops.size(); i++) {
      if (made.word_of[i] == made.word_of[i + 1]) continue;
      checks[i] = std::make_shared<Check>(program.ops[i].name, FaultWord(words, static_cast<std::int32_t*>(words.get()) + made.word_of[i]));
    }
  }
  for (std::size_t i = 0; i < program.ops.size(); i++) {
    const Op& op = program.ops[i];
    complete(context, op, checks[i]);
    noted(op, {nullptr, checks[i]});
  }
}

/** What a replay that the device refused leaves behind. */
void fail_all(const Program& program, const FailurePointer& failure, const Noted& noted) {
  for (const Op& op : program.ops) {
    for (const StoragePointer& output : op.outputs) output->failure = failure;
  }
  if (!program.ops.empty()) noted(program.ops.front(), {failure, nullptr});
}

}  // namespace

void run_program(Context& context, Memory& memory, const Program& program, const std::function<bool()>& stopping, const Noted& noted) {
  if (program.plain_runs > 0 && !program.capture && !program.plain_for_ever) {
    program.capture = capture(context, memory, program);
  }
  if (program.capture && !any_failed(program.capture->outside)) {
    try {
      replay(context, memory, program, *program.capture, noted);
    } catch (const Fault& fault) {
      fail_all(program, fault.failure(), noted);
    } catch (const std::bad_alloc&) {
      fail_all(program, std::make_shared<const Failure>(Failure{Code::out_of_memory, "run", "run: there is not enough host memory"}), noted);
    }
  } else if (run_plain(context, program, stopping, noted)) {
    program.plain_runs++;
  }
}

}  // namespace kvsift
