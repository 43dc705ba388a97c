#include <cstring>

#include "cache.h"

namespace KVSIFT_TEST_SPACE {

namespace {

float half(const unsigned char* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  return kvsift::KVSIFT_TARGET::f16_widen(bits);
}

constexpr int iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/** A block's values, written from the definition of the formats (gguf-py, quants.py), value by value. */
std::vector<double> block_values(kvsift_cuda_dtype type, const unsigned char* b) {
  std::vector<double> out;
  switch (type) {
    case KVSIFT_CUDA_Q8_0:
      for (int i = 0; i < 32; i++) out.push_back(static_cast<double>(half(b)) * static_cast<signed char>(b[2 + i]));
      break;
    case KVSIFT_CUDA_Q4_0:
      for (int i = 0; i < 32; i++) out.push_back(static_cast<double>(half(b)) * ((i < 16 ? b[2 + i] & 15 : b[2 + i - 16] >> 4) - 8));
      break;
    case KVSIFT_CUDA_Q4_1:
      for (int i = 0; i < 32; i++) out.push_back(static_cast<double>(half(b)) * (i < 16 ? b[4 + i] & 15 : b[4 + i - 16] >> 4) + half(b + 2));
      break;
    case KVSIFT_CUDA_Q4_K: {
      const unsigned char* s = b + 4;
      for (int part = 0; part < 8; part++) {
        const int scale = part < 4 ? s[part] & 63 : (s[part + 4] & 15) | (s[part - 4] >> 6) << 4;
        const int minimum = part < 4 ? s[part + 4] & 63 : s[part + 4] >> 4 | (s[part] >> 6) << 4;
        for (int i = 0; i < 32; i++) {
          const int code = part % 2 == 0 ? b[16 + part / 2 * 32 + i] & 15 : b[16 + part / 2 * 32 + i] >> 4;
          out.push_back(static_cast<double>(half(b)) * scale * code - static_cast<double>(half(b + 2)) * minimum);
        }
      }
      break;
    }
    case KVSIFT_CUDA_Q5_0:
    case KVSIFT_CUDA_Q5_1: {
      const bool minimum = type == KVSIFT_CUDA_Q5_1;
      const unsigned char* mask = b + (minimum ? 4 : 2);
      for (int i = 0; i < 32; i++) {
        const int code = (i < 16 ? mask[4 + i] & 15 : mask[4 + i - 16] >> 4) | (mask[i / 8] >> (i % 8) & 1) << 4;
        out.push_back(minimum ? static_cast<double>(half(b)) * code + half(b + 2) : static_cast<double>(half(b)) * (code - 16));
      }
      break;
    }
    case KVSIFT_CUDA_Q2_K:
      for (int k = 0; k < 256; k++) {
        const int code = b[16 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
        out.push_back(static_cast<double>(half(b + 80)) * (b[k / 16] & 15) * code - static_cast<double>(half(b + 82)) * (b[k / 16] >> 4));
      }
      break;
    case KVSIFT_CUDA_Q3_K:
      for (int k = 0; k < 256; k++) {
        const int part = k / 16;
        const int scale = ((part < 8 ? b[96 + part] & 15 : b[88 + part] >> 4) | (b[104 + part % 4] >> (2 * (part / 4)) & 3) << 4) - 32;
        const int low = b[32 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
        const bool set = (b[k % 32] >> (k / 32) & 1) != 0;
        out.push_back(static_cast<double>(half(b + 108)) * scale * (set ? low : low - 4));
      }
      break;
    case KVSIFT_CUDA_Q5_K: {
      const unsigned char* s = b + 4;
      for (int part = 0; part < 8; part++) {
        const int scale = part < 4 ? s[part] & 63 : (s[part + 4] & 15) | (s[part - 4] >> 6) << 4;
        const int minimum = part < 4 ? s[part + 4] & 63 : s[part + 4] >> 4 | (s[part] >> 6) << 4;
        for (int i = 0; i < 32; i++) {
          const int low = part % 2 == 0 ? b[48 + part / 2 * 32 + i] & 15 : b[48 + part / 2 * 32 + i] >> 4;
          const int code = low + ((b[16 + i] >> part & 1) != 0 ? 16 : 0);
          out.push_back(static_cast<double>(half(b)) * scale * code - static_cast<double>(half(b + 2)) * minimum);
        }
      }
      break;
    }
    case KVSIFT_CUDA_IQ4_NL:
      for (int i = 0; i < 32; i++) out.push_back(static_cast<double>(half(b)) * iq4_table[i < 16 ? b[2 + i] & 15 : b[2 + i - 16] >> 4]);
      break;
    case KVSIFT_CUDA_IQ4_XS:
      for (int part = 0; part < 8; part++) {
        const int low = part % 2 == 0 ? b[4 + part / 2] & 15 : b[4 + part / 2] >> 4;
        const int high = (b[2] | b[3] << 8) >> (2 * part) & 3;
        for (int i = 0; i < 32; i++) {
          const int byte = b[8 + part * 16 + i % 16];
          out.push_back(static_cast<double>(half(b)) * ((low | high << 4) - 32) * iq4_table[i < 16 ? byte & 15 : byte >> 4]);
        }
      }
      break;
    default:
      for (int k = 0; k < 256; k++) {
        const int part = k / 128;
        const int row = k / 32 % 4;
        const int low_byte = b[part * 64 + (row % 2) * 32 + k % 32];
        const int low = row < 2 ? low_byte & 15 : low_byte >> 4;
        const int high = b[128 + part * 32 + k % 32] >> (2 * row) & 3;
        out.push_back(static_cast<double>(half(b + 208)) * static_cast<signed char>(b[192 + k / 16]) * ((low | high << 4) - 32));
      }
  }
  return out;
}

struct Format {
  kvsift_cuda_dtype type;
  std::size_t values, bytes;
  std::vector<std::size_t> halves;  // where the block's scales lie
};
const std::vector<Format> blocks{{KVSIFT_CUDA_Q8_0, 32, 34, {0}}, {KVSIFT_CUDA_Q4_0, 32, 18, {0}}, {KVSIFT_CUDA_Q4_1, 32, 20, {0, 2}},
                                 {KVSIFT_CUDA_Q5_0, 32, 22, {0}}, {KVSIFT_CUDA_Q5_1, 32, 24, {0, 2}}, {KVSIFT_CUDA_Q2_K, 256, 84, {80, 82}},
                                 {KVSIFT_CUDA_Q3_K, 256, 110, {108}}, {KVSIFT_CUDA_Q4_K, 256, 144, {0, 2}}, {KVSIFT_CUDA_Q5_K, 256, 176, {0, 2}},
                                 {KVSIFT_CUDA_Q6_K, 256, 210, {208}}, {KVSIFT_CUDA_IQ4_NL, 32, 18, {0}}, {KVSIFT_CUDA_IQ4_XS, 256, 136, {0}}};

struct Stored {
  kvsift_cuda_dtype type;
  std::size_t rows, columns;
  std::vector<unsigned char> bytes;
  std::vector<double> values;
};

Stored random_weight(kvsift_cuda_dtype type, std::size_t rows, std::size_t columns, unsigned seed) {
  Stored out{type, rows, columns, {}, {}};
  Numbers numbers(seed);
  for (const Format& format : blocks) {
    if (format.type != type) continue;
    for (std::size_t i = 0; i < rows * columns / format.values; i++) {
      std::vector<unsigned char> block(format.bytes);
      for (unsigned char& byte : block) byte = static_cast<unsigned char>(numbers.integer(0, 255));
      for (const std::size_t at : format.halves) {
        const std::uint16_t bits = kvsift::KVSIFT_TARGET::f16_round(numbers.normal(1, 0.01F)[0]);
        std::memcpy(&block[at], &bits, 2);
      }
      const auto values = block_values(type, block.data());
      out.bytes.insert(out.bytes.end(), block.begin(), block.end());
      out.values.insert(out.values.end(), values.begin(), values.end());
    }
    return out;
  }
  const auto values = stored(type, numbers.normal(rows * columns));
  out.bytes = encode(type, values);
  out.values.assign(values.begin(), values.end());
  return out;
}

void linear_case(kvsift_cuda_dtype type, std::size_t outputs, std::size_t columns, std::size_t rows, bool extras, kvsift_cuda_context* on = context()) {
  const Stored weight = random_weight(type, outputs, columns, 5);
  const bool rounded = rows > 8;
  Numbers numbers(6);
  auto x = numbers.normal(rows * columns);
  if (rounded) x = stored(KVSIFT_CUDA_BF16, x);
  const auto bias = numbers.normal(outputs);
  const auto residual = numbers.normal(rows * outputs);
  std::vector<double> want(rows * outputs);
  double largest = 1;
  for (std::size_t r = 0; r < rows; r++) {
    for (std::size_t o = 0; o < outputs; o++) {
      double sum = 0;
      for (std::size_t k = 0; k < columns; k++) {
        const double w = rounded ? stored(KVSIFT_CUDA_BF16, static_cast<float>(weight.values[o * columns + k])) : weight.values[o * columns + k];
        sum += x[r * columns + k] * w;
      }
      if (extras) sum += static_cast<double>(bias[o]) + residual[r * outputs + o];
      want[r * outputs + o] = sum;
      largest = std::max(largest, std::abs(sum));
    }
  }
  Buffer<unsigned char> data(weight.bytes);
  Buffer<float> device_x(x);
  Buffer<float> device_bias(bias);
  // A weight that kernels write takes another way where one row reads it.
  for (const int computed : {0, 1}) {
    if (computed == 1 && rows > 1) continue;
    Buffer<float> out(extras ? residual : std::vector<float>(rows * outputs));
    const kvsift_cuda_weight view{type, data.get(), outputs, columns, computed};
    good(kvsift_cuda_linear(on, nullptr, &view, device_x.get(), rows, extras ? device_bias.get() : nullptr, extras ? out.get() : nullptr, out.get()));
    expect_near(out.read(), want, 1e-5 * largest, 1e-5, "linear of type " + std::to_string(type) + ", " + std::to_string(rows) + " rows");
  }
}

}  // namespace

KVSIFT_TEST(dequantize_formats, "dequantize: every format, value by value") {
  for (const Format& format : blocks) {
    const Stored weight = random_weight(format.type, 5, 3 * format.values, 2);
    Buffer<unsigned char> data(weight.bytes);
    Buffer<float> out(weight.values.size());
    const kvsift_cuda_weight view{weight.type, data.get(), weight.rows, weight.columns, 0};
    good(kvsift_cuda_dequantize(context(), nullptr, &view, out.get()));
    expect_near(out.read(), weight.values, 1e-7, 1e-6, "values of type " + std::to_string(format.type));
  }
  for (const auto type : {KVSIFT_CUDA_F32, KVSIFT_CUDA_F16, KVSIFT_CUDA_BF16}) {
    const Stored weight = random_weight(type, 3, 37, 2);
    Buffer<unsigned char> data(weight.bytes);
    Buffer<float> out(weight.values.size());
    const kvsift_cuda_weight view{weight.type, data.get(), weight.rows, weight.columns, 0};
    good(kvsift_cuda_dequantize(context(), nullptr, &view, out.get()));
    expect_near(out.read(), weight.values, 0, 0, "elements");
  }
}

KVSIFT_TEST(embedding_rows, "embedding: rows in any order, scaled; an id out of range sets a fault") {
  const Stored table = random_weight(KVSIFT_CUDA_Q4_K, 9, 512, 3);
  Buffer<unsigned char> data(table.bytes);
  const kvsift_cuda_weight view{table.type, data.get(), table.rows, table.columns, 0};
  Buffer<std::int32_t> ids(std::vector<std::int32_t>{8, 0, 3, 3});
  Buffer<float> out(4 * 512);
  good(kvsift_cuda_embedding(context(), nullptr, &view, ids.get(), 4, 2.5F, out.get()));
  std::vector<double> want;
  for (const std::size_t id : {8, 0, 3, 3}) {
    for (std::size_t c = 0; c < 512; c++) want.push_back(2.5 * table.values[id * 512 + c]);
  }
  expect_near(out.read(), want, 1e-6, 1e-6, "rows");
  expect(faults() == 0, "a fault was set");
  Buffer<std::int32_t> bad(std::vector<std::int32_t>{1, 9});
  good(kvsift_cuda_embedding(context(), nullptr, &view, bad.get(), 2, 1, out.get()));
  expect(faults() == KVSIFT_CUDA_FAULT_EMBEDDING_ID, "no fault");
}

KVSIFT_TEST(few_rows, "linear: one to eight rows straight from every stored format") {
  for (const Format& format : blocks) {
    for (const std::size_t rows : {1, 3, 8}) linear_case(format.type, 13, 2 * format.values, rows, rows == 3);
  }
  linear_case(KVSIFT_CUDA_F32, 3, 17, 2, false);
  linear_case(KVSIFT_CUDA_BF16, 31, 513, 5, true);
  linear_case(KVSIFT_CUDA_F16, 1, 1, 1, false);
}

KVSIFT_TEST(many_rows, "linear: tensor-core kernel over several tiles, odd sizes, stored formats") {
  linear_case(KVSIFT_CUDA_BF16, 131, 96, 140, true);
  linear_case(KVSIFT_CUDA_BF16, 17, 13, 9, false);
  linear_case(KVSIFT_CUDA_Q4_0, 40, 64, 33, false);
  linear_case(KVSIFT_CUDA_Q6_K, 9, 256, 10, true);
}

KVSIFT_TEST(many_rows_on_cublas, "linear: the same on cuBLASLt, where it is found") {
  kvsift_cuda_context* own = nullptr;
  good(kvsift_cuda_open(0, &own));
  if (kvsift_cuda_use_cublas(own) == KVSIFT_CUDA_OK) {
    // Twice, because the second time goes by what the first one found out.
    for (int turn = 0; turn < 2; turn++) linear_case(KVSIFT_CUDA_BF16, 132, 96, 140, true, own);
    linear_case(KVSIFT_CUDA_BF16, 17, 13, 9, false, own);
    linear_case(KVSIFT_CUDA_Q4_0, 40, 64, 33, false, own);
    // One of several products side by side: its result lies on 64 bytes.
    Numbers numbers(5);
    constexpr std::size_t n = 80, rows = 33, before = 16;
    const Buffer<float> x(numbers.normal(rows * n)), w(numbers.normal(n * n));
    Buffer<float> alone(rows * n), beside(before + rows * n);
    const kvsift_cuda_weight weight{KVSIFT_CUDA_F32, w.get(), n, n, 0};
    good(kvsift_cuda_linear(own, nullptr, &weight, x.get(), rows, nullptr, nullptr, alone.get()));
    good(kvsift_cuda_linear(own, nullptr, &weight, x.get(), rows, nullptr, nullptr, beside.get() + before));
    std::vector<float> found = beside.read();
    found.erase(found.begin(), found.begin() + before);
    expect_near(found, alone.read(), 1e-4, 1e-4, "a product off the usual boundary");
  }
  kvsift_cuda_close(own);
}

}  // namespace KVSIFT_TEST_SPACE
