#include "check.h"
#include "kernel_table.h"
#include "kvsift/activations.h"
#include "kvsift/dtype.h"

namespace kvsift::tests {

namespace {

void check_moments(std::size_t rows, std::size_t heads, std::size_t dim) {
  Context context(1);
  const std::size_t columns = heads * dim;
  const std::size_t stride = columns + 3;
  const std::vector<float> x = random_values(rows * stride, 11);
  const std::vector<float> centre = random_values(columns, 12);
  std::vector<double> sums(columns, 0.5);
  std::vector<double> products(heads * dim * dim);
  std::vector<double> sizes(products.size(), 1e-6);
  for (std::size_t row = 0; row < rows; row++) {
    for (std::size_t c = 0; c < columns; c++) {
      const float left = x[row * stride + c] - centre[c];
      sums[c] += static_cast<double>(left);
      for (std::size_t other = c / dim * dim; other < (c / dim + 1) * dim; other++) {
        const float right = x[row * stride + other] - centre[other];
        const double product = static_cast<double>(bf16_to_f32(f32_to_bf16(left))) * static_cast<double>(bf16_to_f32(f32_to_bf16(right)));
        products[c * dim + other % dim] += product;
        sizes[c * dim + other % dim] += std::abs(product);
      }
    }
  }
  for (const Isa isa : supported_sets()) {
    if (!kernel_table(isa).products.bf16) continue;
    set_isa(context, isa);
    const std::string what = "moments of " + std::to_string(rows) + " rows, " + std::to_string(heads) + " heads of " + std::to_string(dim) + " " + isa_name(isa);
    std::vector<float> out(products.size() + 2, 12345);
    for (const double times : {1, 2}) {
      std::vector<float> added(columns + 1, 0.5F);
      added.back() = 12345;
      add_moments_rounded(context, 0, {x.data(), stride, rows, heads, dim, centre.data()}, times > 1, added.data(), out.data() + 1);
      check(out.front() == 12345 && out.back() == 12345 && added.back() == 12345, what + " writes outside");
      added.pop_back();
      check_close(added, sums, 1e-5 * static_cast<double>(rows), 1e-6, what + " sums");
      std::vector<float> shares;
      std::vector<double> wanted;
      for (std::size_t i = 0; i < products.size(); i++) {
        shares.push_back(static_cast<float>(static_cast<double>(out[i + 1]) / sizes[i]));
        wanted.push_back(times * products[i] / sizes[i]);
      }
      check_close(shares, wanted, 1e-5, 0, what + (times > 1 ? " added" : ""));
    }
  }
}

}  // namespace

void test_moments() {
  check_moments(224, 9, 64);
  check_moments(64, 2, 128);
  check_moments(1, 1, 16);
  check_moments(33, 3, 80);
  check_moments(31, 2, 5);
  check_moments(100, 1, 70);
}

}  // namespace kvsift::tests
