#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kvsift_cuda.h"
#include "launch/scratch_blocks.h"
#include "simt/simt.h"

namespace kvsift::KVSIFT_TARGET {

class Blas;

}  // namespace kvsift::KVSIFT_TARGET

#ifdef KVSIFT_EMULATED
namespace kvsift::emulated {
#endif

/** What ops share. Nothing here changes while ops run, except what they say of themselves. */
struct kvsift_cuda_context {
  int device = 0;
  int multiprocessors = 4;
  /** Most shared memory of a block, bytes. */
  std::size_t shared_bytes = 101376;
  /** The device can start a kernel before the one in front of it has ended, and the kernels were compiled for that. */
  bool early = true;
  /** The device has warpgroup products (9.0), and the kernels were compiled for them. */
#ifdef KVSIFT_EMULATED
  bool has_warpgroups = true;
#else
  bool has_warpgroups = false;
#endif
  /** They are used. */
  bool warpgroups = false;
  /** Stream-ordered memory (a cudaMemPool_t). */
  void* pool = nullptr;
  /** Small scratch memory of earlier ops. */
  kvsift::KVSIFT_TARGET::ScratchBlocks blocks;
  /** Fault word, on the device. */
  std::int32_t* own_faults = nullptr;
  /** Where ops set their faults: the own word or the caller's. */
  std::int32_t* faults = nullptr;
  kvsift::KVSIFT_TARGET::Blas* blas = nullptr;
  std::string description;
  std::string message;
  /** Bytes of scratch memory that there were none of. */
  std::size_t wanted = 0;
};

#ifdef KVSIFT_EMULATED
}
#endif

namespace kvsift::KVSIFT_TARGET {

#ifndef KVSIFT_EMULATED
using Context = ::kvsift_cuda_context;
#else
using Context = kvsift_cuda_context;
#endif

/** Why an op was not enqueued. */
struct Refusal {
  kvsift_cuda_status status;
  std::string text;
};

/** One call of an op. */
struct Launch {
  Context& context;
  Stream stream;
  const char* op;

  /** @throws Refusal */
  [[noreturn]] void refuse(kvsift_cuda_status status, const std::string& text) const;
  void require(bool holds, kvsift_cuda_status status, const std::string& text) const {
    if (!holds) refuse(status, text);
  }
  /** @throws Refusal where a runtime call or a kernel start failed */
  void check(int error) const;
  /** Starts a kernel that calls `await_previous`. @throws Refusal */
  template <class... Parameters, class... Arguments>
  void start_early(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t shared_bytes, const Arguments&... arguments) const {
    check(start_kernel_when(context.early, kernel, grid, threads, shared_bytes, stream, arguments...));
  }
  /** A pointer that the op reads or writes: present and on its boundary. */
  void pointer(const void* value, const char* name, std::size_t alignment) const;
};

/**
 * Device memory for the ops of one call, none for 0 bytes; given back in stream order. Small pieces stay with the context, so that what is captured into a
 * graph takes and frees nothing: only kernels that follow each other directly overlap.
 */
class Scratch {
 public:
  Scratch(const Launch& launch, std::size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(block_.data);
  }

 private:
  const Launch& launch_;
  ScratchBlocks::Block block_;
};

/** Sets device memory in stream order. */
void fill_bytes(const Launch& launch, void* to, int value, std::size_t bytes);

/** Blocks of `size` threads that cover `count` items. @throws Refusal where a grid cannot be that large */
unsigned blocks_for(const Launch& launch, std::size_t count, std::size_t size);

constexpr std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/** Runs an op and turns what it throws into a status. */
template <class Op>
kvsift_cuda_status guarded(Context* context, const char* op, kvsift_cuda_stream stream, Op&& run) {
  if (context == nullptr) return KVSIFT_CUDA_INVALID_ARGUMENT;
  try {
    context->message.clear();
    context->wanted = 0;
    run(Launch{*context, static_cast<Stream>(stream), op});
    return KVSIFT_CUDA_OK;
  } catch (const Refusal& refusal) {
    context->message = refusal.text;
    return refusal.status;
  } catch (const std::bad_alloc&) {
    context->message = std::string(op) + ": there is not enough host memory";
    return KVSIFT_CUDA_OUT_OF_MEMORY;
  }
}

}  // namespace kvsift::KVSIFT_TARGET
