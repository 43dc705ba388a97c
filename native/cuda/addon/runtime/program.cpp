#include "runtime/program.h"

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

/** The graph of a program that has run once; null where the device or an op would not have it. */
std::shared_ptr<Program::Capture> capture(Context& context, Memory& memory, const Program& program) {
  // Ops ask for a word each at most.
  auto made = std::make_shared<Program::Capture>(memory, program.ops.size());
  made->outside = outside_of(program);
  memory.begin_window();
  context.device().begin_capture();
  context.begin_capture(static_cast<std::int32_t*>(made->words.data), made->room);
  bool good = true;
  std::size_t count = 0;
  for (const Op& op : program.ops) {
    made->word_of.push_back(count);
    good = good && !execute(context, op).failure;
    count = context.captured_words();
  }
  made->word_of.push_back(count);
  context.end_capture();
  made->graph = context.device().end_capture();
  made->extra_bytes = memory.end_window();
  return good && made->graph ? made : nullptr;
}

void replay(Context& context, Memory& memory, const Program& program, const Program::Capture& made, const Noted& noted) {
  Device& device = context.device();
  const std::size_t count = made.word_of.back();
  std::shared_ptr<void> words;
  if (count > 0) {
    device.fill(made.words.data, 0, count * sizeof(std::int32_t));
    words = device.host_memory().take(count * sizeof(std::int32_t));
  }
  device.launch(made.graph);
  memory.touch(made.extra_bytes);
  std::vector<CheckPointer> checks(program.ops.size());
  for (std::size_t i = 0; i < program.ops.size(); i++) {
    if (made.word_of[i] == made.word_of[i + 1]) continue;
    checks[i] = std::make_shared<Check>(program.ops[i].name, context.words());
    // Each run has words of its own, so that a failure of this run is not taken for one of the next.
    device.copy_out(const_cast<std::int32_t*>(checks[i]->word), static_cast<std::int32_t*>(made.words.data) + made.word_of[i], sizeof(std::int32_t));
  }
  for (std::size_t i = 0; i < program.ops.size(); i++) {
    const Op& op = program.ops[i];
    noted(op, {nullptr, checks[i]});
    for (const StoragePointer& output : op.outputs) output->failure = nullptr;
    carry_checks(context, op, checks[i]);
  }
}

}  // namespace

void run_program(Context& context, Memory& memory, const Program& program, const std::function<bool()>& stopping, const Noted& noted) {
  if (program.plain_runs > 0 && !program.capture && !program.plain_for_ever) {
    try {
      program.capture = capture(context, memory, program);
    } catch (const std::exception&) {
      program.capture = nullptr;
    }
    program.plain_for_ever = !program.capture;
  }
  bool whole = program.capture != nullptr;
  if (whole) {
    for (const StoragePointer& storage : program.capture->outside) whole = whole && !storage->failure;
  }
  if (whole) {
    replay(context, memory, program, *program.capture, noted);
  } else if (run_plain(context, program, stopping, noted)) {
    program.plain_runs++;
  }
}

}  // namespace kvsift
