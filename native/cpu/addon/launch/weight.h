#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kvsift/linear.h"
#include "launch/backend.h"

namespace kvsift {

/** A weight that is no plain tensor: rows in a mapped file, repacked for products where it is for that. Filled in when the load runs. */
struct Weight {
  explicit Weight(std::shared_ptr<Memory> memory) : memory(std::move(memory)) {}
  ~Weight() { memory->remove(counted, true); }
  Weight(const Weight&) = delete;
  Weight& operator=(const Weight&) = delete;

  std::shared_ptr<Memory> memory;
  std::vector<std::shared_ptr<MappedFile>> files;
  std::vector<std::vector<std::int32_t>> row_orders;
  std::vector<WeightSource> sources;
  /** Made for `linear`: `packed` exists once the load has run. Known from the start. */
  bool for_products = false;
  std::unique_ptr<PackedWeight> packed;
  std::size_t counted = 0;
};

namespace launch {

struct FeedForwardWeights;
struct FeedForwardOptions;

enum class Role : std::uint8_t { linear, embedding, vector };

/** `StoredTensor` of packages/tensor/src/tensor.ts. */
struct Source {
  std::string name;
  std::string path;
  DType dtype = DType::f32;
  /** [rows, columns], or [values] of a vector. */
  Shape shape;
  std::size_t offset = 0;
  std::size_t bytes = 0;
  bool reordered = false;
  std::vector<std::int32_t> row_order;
};

/** A weight made of the sources, stacked by rows; the file is opened when the stream gets there. */
Tensor load(Backend& backend, std::vector<Source> sources, Role role);

/** True where `product` takes this matrix as it is; others are widened first. */
bool takes_products(const Tensor& weight);

// What becomes of the bytes of a weight, on the executor (weight_data.cpp).

/** Brings the sources of a matrix to where ops read them. */
void settle(Context& context, Weight& weight, Compute compute);
/** f32 values of the rows of a vector. */
void settle_vector(Context& context, const WeightSource& rows, float* to);
/** x · Wᵀ (+ bias) (+ residual) of a matrix that takes products. */
void product(Context& context, Compute compute, const Tensor& weight, const float* x, std::size_t rows, bool apart, const float* bias,
             const float* residual, float* out);

/** kvsift::feed_forward of matrices that take products, with room for what lies between them. Where `folds_products`, as the next. */
void fed_forward(Context& context, Compute compute, const FeedForwardWeights& weights, const FeedForwardOptions& options, const Tensor& x, const Tensor& normed,
                 const Tensor& middle, const Tensor& out);
/** kvsift::projected_norms of a matrix that takes products. */
void norms_of_products(Context& context, Compute compute, const Tensor& weight, const HeadValues& values, Norm norm, float* out);

/** f32 values of a weight or of any matrix of floats or blocks. */
Tensor dequantize(Backend& backend, const Tensor& weight);

/** What the kernels read of a matrix, once its op has run. `room` holds the description of a plain one. */
std::span<const WeightSource> matrix_sources(const Tensor& tensor, WeightSource& room);

/** @throws Fault where a tensor is no matrix of floats or blocks */
void expect_weight(const char* op, const Tensor& tensor);

}  // namespace launch
}  // namespace kvsift
