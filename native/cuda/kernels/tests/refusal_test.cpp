#include "cache.h"

namespace KVSIFT_TEST_SPACE {

namespace {

void refused(kvsift_cuda_status got, kvsift_cuda_status want, const std::string& what) {
  expect(got == want, what + " gave " + kvsift_cuda_status_name(got) + ", not " + kvsift_cuda_status_name(want));
  expect(std::string(kvsift_cuda_message(context())).size() > 8, what + " came without a message");
}

}  // namespace

KVSIFT_TEST(attention_refusals, "refusals: attention names what is wrong and runs nothing") {
  const Cache cache(Layout::dense, KVSIFT_CUDA_F16, 64, {8, 8}, 1);
  Buffer<float> q(4 * 64);
  Buffer<float> out(4 * 64);
  const kvsift_cuda_attention_shape shape{4, 1, 0, 0};
  const auto run = [&](kvsift_cuda_kv_view view, kvsift_cuda_attention_shape s, const float* queries) {
    const kvsift_cuda_kv_segment segment{view, 1};
    return kvsift_cuda_attention(context(), nullptr, &segment, 1, queries, &s, nullptr, out.get(), nullptr);
  };
  refused(run(cache.view, {3, 1, 0, 0}, q.get()), KVSIFT_CUDA_SHAPE_MISMATCH, "3 query heads over 2");
  refused(run(cache.view, {4, 1, -1, 0}, q.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "a negative softcap");
  refused(run(cache.view, {4, 1, 0, 5}, q.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "a window without positions");
  refused(run(cache.view, shape, nullptr), KVSIFT_CUDA_INVALID_ARGUMENT, "no queries");
  auto view = cache.view;
  view.head_dim = 260;
  refused(run(view, shape, q.get()), KVSIFT_CUDA_UNSUPPORTED, "a head dim of 260");
  view = cache.view;
  view.type = KVSIFT_CUDA_Q4_0;
  refused(run(view, shape, q.get()), KVSIFT_CUDA_DTYPE_MISMATCH, "a q4_0 cache");
  view = cache.view;
  view.type = KVSIFT_CUDA_Q8_0;
  view.head_dim = 40;
  refused(run(view, shape, q.get()), KVSIFT_CUDA_SHAPE_MISMATCH, "blocks that are not whole");
  view = cache.view;
  view.keys = static_cast<unsigned char*>(view.keys) + 8;
  refused(run(view, shape, q.get()), KVSIFT_CUDA_MISALIGNED, "keys off their boundary");
  view = cache.view;
  view.table = view.lengths;
  refused(run(view, shape, q.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "a table without block size");
  expect(kvsift_cuda_attention(nullptr, nullptr, nullptr, 0, nullptr, nullptr, nullptr, nullptr, nullptr) == KVSIFT_CUDA_INVALID_ARGUMENT, "no context");
  refused(kvsift_cuda_attention(context(), nullptr, nullptr, 1, q.get(), &shape, nullptr, out.get(), nullptr), KVSIFT_CUDA_INVALID_ARGUMENT, "no segments");
  good(run(cache.view, shape, q.get()));
  expect(kvsift_cuda_message(context())[0] == 0, "the message of the last refusal stays");
}

KVSIFT_TEST(other_refusals, "refusals: selection, rows, weights and algebra") {
  Buffer<float> x(64);
  Buffer<float> out(64);
  Buffer<std::int32_t> ids(64);
  kvsift_cuda_top_arguments top{};
  top.scores = x.get();
  top.heads = 2;
  top.length = 8;
  top.keep = 3;
  top.total = 7;
  top.max = 3;
  refused(kvsift_cuda_top(context(), nullptr, &top, ids.get(), ids.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "a wrong total");
  top.total = 6;
  top.protect_first = top.protect_last = 2;
  refused(kvsift_cuda_top(context(), nullptr, &top, ids.get(), ids.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "too many protected entries");
  refused(kvsift_cuda_top_shares(context(), nullptr, x.get(), 2, 3, 7, ids.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "7 of 6 entries");
  refused(kvsift_cuda_round_shares(context(), nullptr, x.get(), 2, 7, 3, ids.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "7 in 2 parts of at most 3");
  refused(kvsift_cuda_pool(context(), nullptr, KVSIFT_CUDA_POOL_MAX, x.get(), 1, 8, 4, out.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "an even kernel");
  refused(kvsift_cuda_rope(context(), nullptr, x.get(), 1, 1, 8, ids.get(), x.get(), 10, 1, out.get()), KVSIFT_CUDA_SHAPE_MISMATCH, "rotary over head dim");
  refused(kvsift_cuda_softcap(context(), nullptr, x.get(), 8, 0, out.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "a cap of 0");
  kvsift_cuda_weight weight{KVSIFT_CUDA_Q4_K, x.get(), 1, 100, 0};
  refused(kvsift_cuda_dequantize(context(), nullptr, &weight, out.get()), KVSIFT_CUDA_SHAPE_MISMATCH, "half a block");
  weight.type = KVSIFT_CUDA_I32;
  refused(kvsift_cuda_dequantize(context(), nullptr, &weight, out.get()), KVSIFT_CUDA_UNSUPPORTED, "a weight of integers");
  const std::size_t shape[4] = {1, 1, 2, 2};
  const std::size_t order[4] = {0, 1, 1, 2};
  refused(kvsift_cuda_transpose(context(), nullptr, x.get(), 4, shape, order, out.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "an axis twice");
  refused(kvsift_cuda_to_float(context(), nullptr, KVSIFT_CUDA_Q8_0, x.get(), 8, out.get()), KVSIFT_CUDA_DTYPE_MISMATCH, "to_float of blocks");
  const kvsift_cuda_matmul_shape product{1, 8, 1, 0, {1, 1}, {0, 0}, {0, 0}};
  refused(kvsift_cuda_matmul(context(), nullptr, &product, x.get(), KVSIFT_CUDA_Q8_0, x.get(), out.get()), KVSIFT_CUDA_DTYPE_MISMATCH, "a product with blocks");
  refused(kvsift_cuda_map(context(), nullptr, KVSIFT_CUDA_EXP, nullptr, 8, out.get()), KVSIFT_CUDA_INVALID_ARGUMENT, "no input");
}

KVSIFT_TEST(no_scratch, "refusals: scratch memory that there is none of, with the bytes that were wanted") {
  Buffer<float> x(64);
  // More than any address space holds; a driver need not be asked for that much.
#ifdef KVSIFT_EMULATED
  constexpr std::size_t rows = std::size_t{1} << 40;
#else
  constexpr std::size_t rows = std::size_t{1} << 32;
#endif
  refused(kvsift_cuda_rank(context(), nullptr, x.get(), rows, 1024, x.get()), KVSIFT_CUDA_OUT_OF_MEMORY, "memory that there is none of");
  expect(kvsift_cuda_wanted(context()) == rows * 1024 * 8, "the bytes that were wanted");
  good(kvsift_cuda_map(context(), nullptr, KVSIFT_CUDA_EXP, x.get(), 64, x.get()));
  expect(kvsift_cuda_wanted(context()) == 0, "nothing was wanted in vain");
}

KVSIFT_TEST(empty_calls, "empty inputs: every op accepts nothing") {
  Buffer<std::int32_t> offsets(3);
  kvsift_cuda_top_arguments top{};
  top.heads = 2;
  good(kvsift_cuda_top(context(), nullptr, &top, nullptr, offsets.get()));
  expect_same(offsets.read(), {0, 0, 0}, "offsets of nothing");
  good(kvsift_cuda_map(context(), nullptr, KVSIFT_CUDA_EXP, nullptr, 0, nullptr));
  good(kvsift_cuda_rms_norm(context(), nullptr, nullptr, 0, 8, nullptr, 0, 0, nullptr));
  good(kvsift_cuda_pool(context(), nullptr, KVSIFT_CUDA_POOL_MAX, nullptr, 4, 0, 3, nullptr));
  good(kvsift_cuda_uniform(context(), nullptr, {1, 2, 3, 4}, 0, 4, nullptr));
  good(kvsift_cuda_kv_append(context(), nullptr, nullptr, 0, nullptr, nullptr, nullptr));
  const kvsift_cuda_attention_shape shape{1, 1, 0, 0};
  good(kvsift_cuda_attention(context(), nullptr, nullptr, 0, nullptr, &shape, nullptr, nullptr, nullptr));
  const kvsift_cuda_weight weight{KVSIFT_CUDA_F32, nullptr, 0, 8, 0};
  good(kvsift_cuda_linear(context(), nullptr, &weight, nullptr, 3, nullptr, nullptr, nullptr));
}

}  // namespace KVSIFT_TEST_SPACE
