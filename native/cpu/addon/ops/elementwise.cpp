#include "ops/elementwise.h"

#include <algorithm>
#include <limits>

namespace kvsift::ops {

namespace {

constexpr std::size_t grain = 16384;

}  // namespace

void map(Context& context, UnaryOp op, const float* x, std::size_t count, float* out) {
  context.parallel_for(count, grain, [=, &context](std::size_t begin, std::size_t end, std::size_t) { map_row(context, op, x + begin, end - begin, out + begin); });
}

void zip(Context& context, BinaryOp op, const float* a, const Shape& a_shape, const float* b, const Shape& b_shape, const Shape& shape, float* out) {
  if (shape == a_shape && (shape == b_shape || b_shape.count() == 1)) {
    const std::size_t b_step = shape == b_shape ? 1 : 0;
    context.parallel_for(shape.count(), grain, [=, &context](std::size_t begin, std::size_t end, std::size_t) {
      zip_row(context, op, a + begin, 1, b + begin * b_step, b_step, end - begin, out + begin);
    });
    return;
  }
  const Shape a_steps = broadcast_steps(a_shape, shape);
  const Shape b_steps = broadcast_steps(b_shape, shape);
  const std::size_t columns = shape.back();
  if (columns == 0) return;
  const std::size_t last = shape.rank() == 0 ? 0 : shape.rank() - 1;
  const std::size_t a_step = shape.rank() == 0 ? 0 : a_steps[last];
  const std::size_t b_step = shape.rank() == 0 ? 0 : b_steps[last];
  const std::size_t rows = shape.count() / columns;
  context.parallel_for(rows, grain / columns + 1, [=, &context](std::size_t begin, std::size_t end, std::size_t) {
    // Where the row lies on each axis but the last, counted up rather than divided out each time. Rows along the axis before the last are one call.
    Shape at = shape;
    std::size_t rest = begin;
    std::size_t from_a = 0;
    std::size_t from_b = 0;
    for (std::size_t axis = last; axis-- > 0;) {
      at[axis] = rest % shape[axis];
      rest /= shape[axis];
      from_a += at[axis] * a_steps[axis];
      from_b += at[axis] * b_steps[axis];
    }
    for (std::size_t row = begin; row < end;) {
      std::size_t run = last > 0 ? std::min(end - row, shape[last - 1] - at[last - 1]) : 1;
      const std::size_t a_row = last > 0 ? a_steps[last - 1] : 0;
      const std::size_t b_row = last > 0 ? b_steps[last - 1] : 0;
      zip_rows(context, op, {a + from_a, a_step, a_row}, {b + from_b, b_step, b_row}, run, columns, out + row * columns);
      row += run;
      for (std::size_t axis = last; axis-- > 0; run = 1) {
        from_a += run * a_steps[axis];
        from_b += run * b_steps[axis];
        at[axis] += run;
        if (at[axis] < shape[axis]) break;
        at[axis] = 0;
        from_a -= shape[axis] * a_steps[axis];
        from_b -= shape[axis] * b_steps[axis];
      }
    }
  });
}

void zip(Context& context, BinaryOp op, const float* a, float b, std::size_t count, float* out) {
  zip(context, op, a, {count}, &b, {}, {count}, out);
}

void to_float(Context& context, DType type, const void* x, std::size_t count, float* out) {
  const auto all = [&]<class T>(const T* source, auto convert) {
    context.parallel_for(count, grain, [=](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t i = begin; i < end; i++) out[i] = convert(source[i]);
    });
  };
  switch (type) {
    case DType::f32: return all(static_cast<const float*>(x), [](float v) { return v; });
    case DType::f16: return all(static_cast<const std::uint16_t*>(x), [](std::uint16_t v) { return f16_to_f32(v); });
    case DType::bf16: return all(static_cast<const std::uint16_t*>(x), [](std::uint16_t v) { return bf16_to_f32(v); });
    case DType::i32: return all(static_cast<const std::int32_t*>(x), [](std::int32_t v) { return static_cast<float>(v); });
    default: return all(static_cast<const std::uint8_t*>(x), [](std::uint8_t v) { return static_cast<float>(v); });
  }
}

void to_int(Context& context, const float* x, std::size_t count, std::int32_t* out) {
  using Limits = std::numeric_limits<std::int32_t>;
  context.parallel_for(count, grain, [=](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t i = begin; i < end; i++) {
      const float value = x[i];
      out[i] = value >= 2147483648.0f ? Limits::max() : value < -2147483648.0f ? Limits::min() : value != value ? 0 : static_cast<std::int32_t>(value);
    }
  });
}

}  // namespace kvsift::ops
