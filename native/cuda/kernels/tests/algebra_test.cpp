#include <algorithm>
#include <limits>
#include <numeric>

#include "cache.h"

namespace KVSIFT_TEST_SPACE {

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
}

KVSIFT_TEST(maps, "map: every op, with values that are not numbers") {
  auto x = Numbers(1).normal(700, 3);
  x[0] = NAN;
  x[1] = infinity;
  x[2] = -infinity;
  x[3] = 0;
  const std::vector<std::pair<kvsift_cuda_unary_op, double (*)(double)>> ops{
      {KVSIFT_CUDA_EXP, [](double a) { return std::exp(a); }},      {KVSIFT_CUDA_LOG, [](double a) { return std::log(a); }},
      {KVSIFT_CUDA_SQRT, [](double a) { return std::sqrt(a); }},    {KVSIFT_CUDA_ABS, [](double a) { return std::abs(a); }},
      {KVSIFT_CUDA_NEG, [](double a) { return -a; }},               {KVSIFT_CUDA_SQUARE, [](double a) { return a * a; }},
      {KVSIFT_CUDA_RECIPROCAL, [](double a) { return 1 / a; }},     {KVSIFT_CUDA_FLOOR, [](double a) { return std::floor(a); }},
      {KVSIFT_CUDA_ISFINITE, [](double a) { return std::isfinite(a) ? 1.0 : 0.0; }}};
  Buffer<float> device(x);
  Buffer<float> out(x.size());
  for (const auto& [op, apply] : ops) {
    std::vector<double> want;
    for (const float value : x) want.push_back(apply(value));
    good(kvsift_cuda_map(context(), nullptr, op, device.get(), x.size(), out.get()));
    expect_near(out.read(), want, 1e-6, 1e-6, "op " + std::to_string(op));
  }
}

KVSIFT_TEST(zips, "zip: every op with broadcast axes, and with a number") {
  Numbers numbers(2);
  const auto a = numbers.normal(3 * 1 * 5);
  const auto b = numbers.normal(2 * 1 * 4 * 5);
  const std::size_t shape[4] = {2, 3, 4, 5};
  const std::size_t a_steps[4] = {0, 5, 0, 1};
  const std::size_t b_steps[4] = {20, 0, 5, 1};
  Buffer<float> device_a(a);
  Buffer<float> device_b(b);
  Buffer<float> out(120);
  Buffer<float> scaled(a.size());
  const std::vector<double (*)(double, double)> ops{[](double x, double y) { return x + y; }, [](double x, double y) { return x - y; },
                                                    [](double x, double y) { return x * y; }, [](double x, double y) { return x / y; },
                                                    [](double x, double y) { return std::max(x, y); }, [](double x, double y) { return std::min(x, y); },
                                                    [](double x, double y) { return x < y ? 1.0 : 0.0; }};
  for (std::size_t op = 0; op < ops.size(); op++) {
    std::vector<double> want;
    for (std::size_t i = 0; i < 2; i++) {
      for (std::size_t j = 0; j < 3; j++) {
        for (std::size_t k = 0; k < 4; k++) {
          for (std::size_t l = 0; l < 5; l++) want.push_back(ops[op](a[j * 5 + l], b[i * 20 + k * 5 + l]));
        }
      }
    }
    const auto name = static_cast<kvsift_cuda_binary_op>(op);
    good(kvsift_cuda_zip(context(), nullptr, name, device_a.get(), a_steps, device_b.get(), b_steps, shape, out.get()));
    expect_near(out.read(), want, 1e-6, 1e-5, "op " + std::to_string(op));
    std::vector<double> with_number;
    for (const float value : a) with_number.push_back(ops[op](value, 0.25));
    good(kvsift_cuda_zip_scalar(context(), nullptr, name, device_a.get(), 0.25F, a.size(), scaled.get()));
    expect_near(scaled.read(), with_number, 1e-6, 1e-6, "op with a number " + std::to_string(op));
  }
  Buffer<float> nan(std::vector<float>{NAN, 1});
  good(kvsift_cuda_zip_scalar(context(), nullptr, KVSIFT_CUDA_MAX, nan.get(), 2, 2, nan.get()));
  expect(std::isnan(nan.read()[0]), "max does not pass NaN on");
}

KVSIFT_TEST(reduces, "reduce: every op along a middle axis; of nothing; NaN") {
  const std::size_t before = 3;
  for (int turn = 0; turn < 15; turn++) {
    const int op = turn % 5;
    const std::size_t after = turn < 5 ? 5 : 71;
    const std::size_t size = turn < 10 ? 77 : 331;
    const auto n = static_cast<double>(size);
    const auto x = Numbers(3).normal(before * size * after);
    Buffer<float> device(x);
    Buffer<float> out(before * after);
    std::vector<double> want;
    for (std::size_t i = 0; i < before; i++) {
      for (std::size_t j = 0; j < after; j++) {
        double sum = 0, most = -infinity, least = infinity, spread = 0;
        for (std::size_t k = 0; k < size; k++) {
          const double value = x[(i * size + k) * after + j];
          sum += value;
          most = std::max(most, value);
          least = std::min(least, value);
        }
        for (std::size_t k = 0; k < size; k++) spread += std::pow(x[(i * size + k) * after + j] - sum / n, 2) / (n - 1);
        want.push_back(op == 0 ? sum : op == 1 ? sum / n : op == 2 ? most : op == 3 ? least : spread);
      }
    }
    good(kvsift_cuda_reduce(context(), nullptr, static_cast<kvsift_cuda_reduce_op>(op), device.get(), before, size, after, out.get()));
    expect_near(out.read(), want, 1e-6, 1e-6, "op " + std::to_string(op));
  }
  Buffer<float> out(1);
  good(kvsift_cuda_reduce(context(), nullptr, KVSIFT_CUDA_REDUCE_MAX, nullptr, 1, 0, 1, out.get()));
  expect(out.read()[0] == -infinity, "maximum of nothing");
  Buffer<float> nan(std::vector<float>{1, NAN, 3});
  std::vector<float> many(200 * 32, 1);
  many[117 * 32 + 5] = NAN;
  Buffer<float> nans(many);
  Buffer<float> outs(32);
  for (const auto op : {KVSIFT_CUDA_REDUCE_MAX, KVSIFT_CUDA_REDUCE_MIN}) {
    good(kvsift_cuda_reduce(context(), nullptr, op, nan.get(), 1, 3, 1, out.get()));
    expect(std::isnan(out.read()[0]), "NaN is not passed on");
    good(kvsift_cuda_reduce(context(), nullptr, op, nans.get(), 1, 200, 32, outs.get()));
    for (std::size_t i = 0; i < 32; i++) expect(std::isnan(outs.read()[i]) == (i == 5), "NaN is passed on where there is none, or not where there is one");
  }
}

KVSIFT_TEST(row_ops, "softmax, cumsum and rank along rows of one to many elements") {
  for (const std::size_t columns : {std::size_t{1}, std::size_t{255}, std::size_t{1003}}) {
    Numbers numbers(4);
    auto x = numbers.normal(2 * columns, 30);
    for (std::size_t i = 0; i < x.size(); i += 3) x[i] = std::round(x[i]);
    std::vector<double> soft, sums;
    std::vector<float> ranks(x.size());
    for (std::size_t row = 0; row < 2; row++) {
      const float* from = &x[row * columns];
      const double top = *std::max_element(from, from + columns);
      double total = 0, running = 0;
      for (std::size_t c = 0; c < columns; c++) total += std::exp(from[c] - top);
      for (std::size_t c = 0; c < columns; c++) soft.push_back(std::exp(from[c] - top) / total);
      for (std::size_t c = 0; c < columns; c++) sums.push_back(running += from[c]);
    }
    Buffer<float> device(x);
    Buffer<float> out(x.size());
    good(kvsift_cuda_softmax(context(), nullptr, device.get(), 2, columns, out.get()));
    expect_near(out.read(), soft, 1e-7, 1e-4, "softmax");
    good(kvsift_cuda_cumsum(context(), nullptr, device.get(), 2, columns, out.get()));
    expect_near(out.read(), sums, 1e-4, 1e-6, "cumsum");
    if (columns > 9) {
      x[4] = NAN;
      x[6] = -infinity;
      x[7] = NAN;
      x[8] = -0.0F;
    }
    for (std::size_t row = 0; row < 2; row++) {
      std::vector<std::size_t> order(columns);
      std::iota(order.begin(), order.end(), std::size_t{0});
      const auto key = [&](std::size_t i) { return std::isnan(x[row * columns + i]) ? std::numeric_limits<double>::max() : static_cast<double>(x[row * columns + i]); };
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
      for (std::size_t i = 0; i < columns; i++) ranks[row * columns + order[i]] = static_cast<float>(i);
    }
    Buffer<float> awkward(x);
    good(kvsift_cuda_rank(context(), nullptr, awkward.get(), 2, columns, out.get()));
    expect_same(out.read(), ranks, "rank");
  }
}

KVSIFT_TEST(matmuls, "matmul: both orders of b, broadcast leading axes, odd sizes, b as it is stored") {
  for (const int turn : {0, 1, 2, 3, 4, 5}) {
    const int transposed = turn % 2;
    const auto type = turn < 2 ? KVSIFT_CUDA_F32 : turn < 4 ? KVSIFT_CUDA_F16 : KVSIFT_CUDA_BF16;
    const kvsift_cuda_matmul_shape shape{19, 23, 33, transposed, {2, 3}, {3, 1}, {0, 1}};
    Numbers numbers(5);
    const auto a = numbers.normal(6 * 19 * 23);
    const auto b = stored(type, numbers.normal(3 * 23 * 33));
    std::vector<double> want;
    for (std::size_t matrix = 0; matrix < 6; matrix++) {
      for (std::size_t i = 0; i < 19; i++) {
        for (std::size_t j = 0; j < 33; j++) {
          double sum = 0;
          for (std::size_t k = 0; k < 23; k++) {
            sum += static_cast<double>(a[(matrix * 19 + i) * 23 + k]) * b[matrix % 3 * 23 * 33 + (transposed != 0 ? j * 23 + k : k * 33 + j)];
          }
          want.push_back(sum);
        }
      }
    }
    Buffer<float> device_a(a);
    Buffer<unsigned char> device_b(encode(type, b));
    Buffer<float> out(want.size());
    good(kvsift_cuda_matmul(context(), nullptr, &shape, device_a.get(), type, device_b.get(), out.get()));
    expect_near(out.read(), want, 1e-5, 1e-5, "product");
  }
}

KVSIFT_TEST(moves, "copy_pieces and transpose: elements of 1, 2, 4 and 16 bytes") {
  std::vector<unsigned char> bytes(960);
  for (std::size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<unsigned char>(i * 7);
  Buffer<unsigned char> from(bytes);
  for (const std::size_t size : {std::size_t{1}, std::size_t{4}, std::size_t{16}}) {
    std::vector<unsigned char> want(10 * 3 * size, 0xff);
    for (std::size_t i = 0; i < 10; i++) std::copy_n(&bytes[i * 5 * size], 2 * size, &want[i * 3 * size]);
    Buffer<unsigned char> to(want.size());
    good(kvsift_cuda_copy_pieces(context(), nullptr, from.get(), 5 * size, to.get(), 3 * size, 2 * size, 10));
    expect_same(to.read(), want, "pieces");
  }
  for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{4}}) {
    const std::size_t shape[4] = {2, 3, 4, 5};
    const std::size_t order[4] = {2, 0, 3, 1};
    std::vector<unsigned char> want;
    for (std::size_t i = 0; i < 4; i++) {
      for (std::size_t j = 0; j < 2; j++) {
        for (std::size_t k = 0; k < 5; k++) {
          for (std::size_t l = 0; l < 3; l++) {
            const std::size_t at = (((j * 3 + l) * 4 + i) * 5 + k) * size;
            want.insert(want.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
          }
        }
      }
    }
    Buffer<unsigned char> to(want.size());
    good(kvsift_cuda_transpose(context(), nullptr, from.get(), size, shape, order, to.get()));
    expect_same(to.read(), want, "transposed");
  }
}

KVSIFT_TEST(conversions, "to_float from every element type; to_int drops fractions and keeps to its ends") {
  const auto x = stored(KVSIFT_CUDA_BF16, Numbers(6).normal(301, 100));
  for (const auto type : {KVSIFT_CUDA_F32, KVSIFT_CUDA_F16, KVSIFT_CUDA_BF16}) {
    Buffer<unsigned char> device(encode(type, x));
    Buffer<float> out(x.size());
    good(kvsift_cuda_to_float(context(), nullptr, type, device.get(), x.size(), out.get()));
    expect_same(out.read(), stored(type, x), "from type " + std::to_string(type));
  }
  Buffer<std::int32_t> integers(std::vector<std::int32_t>{-5, 0, 16777216});
  Buffer<float> out(3);
  good(kvsift_cuda_to_float(context(), nullptr, KVSIFT_CUDA_I32, integers.get(), 3, out.get()));
  expect_same(out.read(), {-5, 0, 16777216}, "integers");
  Buffer<unsigned char> bytes(std::vector<unsigned char>{0, 127, 255});
  good(kvsift_cuda_to_float(context(), nullptr, KVSIFT_CUDA_U8, bytes.get(), 3, out.get()));
  expect_same(out.read(), {0, 127, 255}, "bytes");
  Buffer<float> floats(std::vector<float>{1.9F, -1.9F, NAN, 3e9F, -3e9F, infinity});
  Buffer<std::int32_t> back(6);
  good(kvsift_cuda_to_int(context(), nullptr, floats.get(), 6, back.get()));
  expect_same(back.read(), {1, -1, 0, 2147483647, -2147483647 - 1, 2147483647}, "to_int");
}

}  // namespace KVSIFT_TEST_SPACE
