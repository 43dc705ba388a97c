#pragma once

#include "simt/emulated.h"

// The products of warpgroup_device.h on the host: which numbers they take, when at the earliest and at the latest, and where the results go. Descriptors
// are a matter of the device.
namespace kvsift::emulated {

inline void begin_products() {}
inline void commit_products() { product_commit(); }
template <int pending>
void await_products() {
  wait_products(pending);
}
inline void publish_shared() {}
template <int count>
void results_are_there(float (&)[count][4]) {}

/** Row and column of a result of this thread in the tile of its warpgroup. */
struct ResultPlace {
  unsigned row, column;
};
inline ResultPlace result_place(unsigned j, unsigned i) {
  const unsigned lane = threadIdx.x % 32;
  return {threadIdx.x / 32 % 4 * 16 + lane / 4 + i / 2 * 8, j * 8 + lane % 4 * 2 + i % 2};
}

/** Element of a tile of panels: rows of 128 bytes whose 16-byte pieces are exchanged by the row. */
template <class Element>
float panel_element(const Element* tile, unsigned rows, unsigned row, unsigned column) {
  return tile[column / 64 * rows * 64 + row * 64 + ((column / 8 % 8) ^ (row & 7)) * 8 + column % 8].widen();
}

template <class Element, int head_dim, int tile>
void multiply_keys(float (&out)[16][4], const Element* rows, const Element* keys) {
  product_async([&out, rows, keys] {
    for (unsigned j = 0; j < 16; j++) {
      for (unsigned i = 0; i < 4; i++) {
        const ResultPlace at = result_place(j, i);
        float sum = 0;
        for (unsigned c = 0; c < head_dim; c++) sum += panel_element(rows, tile, at.row, c) * panel_element(keys, 128, at.column, c);
        out[j][i] = sum;
      }
    }
  });
}

template <class Element, int head_dim>
void multiply_values(float (&out)[head_dim / 8][4], const std::uint32_t (&weights)[8][4], const Element* values) {
  product_async([&out, &weights, values] {
    for (unsigned step = 0; step < 8; step++) {
      const unsigned char* slots = exchange(weights[step], 16);
      for (unsigned j = 0; j < head_dim / 8; j++) {
        for (unsigned i = 0; i < 4; i++) {
          const ResultPlace at = result_place(j, i);
          for (unsigned k = 0; k < 16; k++) {
            std::uint16_t bits;
            std::memcpy(&bits, slots + 32 * (at.row % 8 * 4 + k % 8 / 2) + 4 * (at.row / 8 % 2 + 2 * (k / 8)) + 2 * (k % 2), 2);
            out[j][i] += Element{bits}.widen() * panel_element(values, 128, step * 16 + k, at.column);
          }
        }
      }
    }
  });
}

}  // namespace kvsift::emulated
