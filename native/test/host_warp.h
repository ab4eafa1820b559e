// The lanes of a warp on the host, all at once: ldmatrix and mma.m16n8k16 with operands and sums where the
// PTX ISA has them ("Warp-level matrix load instruction: ldmatrix", "Matrix Fragments for mma.m16n8k16 with
// floating point type").
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "wisemerge/convert.h"

namespace wisemerge::test {

// A sum as tensor cores form it: terms aligned to the largest and truncated to 24 bits, and so is the result.
// Devices keep a bit or two more (Fasi, Higham, Mikaitis and Pranesh, 2021, doi:10.7717/peerj-cs.330): what
// holds here holds there. Terms are exact in f64.
inline float truncated_sum(const double* terms, uint32_t count) {
  double largest = 0, plain = 0;
  for (uint32_t i = 0; i < count; i++) {
    largest = std::fmax(largest, std::fabs(terms[i]));
    plain += terms[i];
  }
  if (!std::isfinite(plain)) return static_cast<float>(plain);
  if (largest == 0) return 0;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(largest) - 23, -149));
  double sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += std::trunc(terms[i] / unit);
  sum *= unit;
  if (sum == 0) return 0;
  const double last = std::ldexp(1.0, std::max(std::ilogb(sum) - 23, -149));
  return static_cast<float>(std::trunc(sum / last) * last);
}

struct HostWarp {
  static constexpr uint32_t kLanes = 32;
  struct Words {
    uint32_t at[kLanes][4];
  };
  struct Sums {
    float at[kLanes][4];
  };

  // Line l of matrix i comes from lane 8 i + l; its elements 2 t and 2 t + 1 go to word i of lane 4 l + t.
  template <class Address>
  void load(Words& to, Address address) const {
    for (uint32_t i = 0; i < 4; i++) {
      for (uint32_t line = 0; line < 8; line++) {
        const auto* const from =
            static_cast<const unsigned char*>(static_cast<const void*>(address(8 * i + line)));
        misaligned += reinterpret_cast<uintptr_t>(from) % 16 != 0;
        for (uint32_t t = 0; t < 4; t++) std::memcpy(&to.at[4 * line + t][i], from + 4 * t, 4);
      }
    }
  }

  // Element i of a fragment lies in half i % 2 of word i / 2. With group = lane / 4 and t = lane % 4,
  // A: row = group, + 8 for i in {2, 3, 6, 7}; column = 2 t + i % 2, + 8 for i >= 4.
  // B: row (depth) = 2 t + i % 2, + 8 for i >= 2; column = group.
  void multiply_add(Sums& sums, const Words& a, const Words& w, uint32_t half) const {
    double rows[16][16], columns[8][16];
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      const uint32_t group = lane / 4, t = lane % 4;
      for (uint32_t i = 0; i < 8; i++) {
        rows[group + (i / 2 % 2) * 8][2 * t + i % 2 + (i / 4) * 8] = element(a.at[lane][i / 2], i % 2);
      }
      for (uint32_t i = 0; i < 4; i++) {
        columns[group][2 * t + i % 2 + (i / 2) * 8] = element(w.at[lane][half * 2 + i / 2], i % 2);
      }
    }
    // C: row = group, + 8 for i >= 2; column = 2 t + i % 2. Two passes of eight products, as the A100 makes.
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      for (uint32_t i = 0; i < 4; i++) {
        const double* const row = rows[lane / 4 + (i >= 2 ? 8 : 0)];
        const double* const column = columns[lane % 4 * 2 + i % 2];
        for (uint32_t pass = 0; pass < 16; pass += 8) {
          double terms[9] = {sums.at[lane][i]};
          for (uint32_t l = 0; l < 8; l++) terms[l + 1] = row[pass + l] * column[pass + l];
          sums.at[lane][i] = truncated_sum(terms, 9);
        }
      }
    }
  }

  void add(Sums& sums, const Sums& more) const {
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      for (uint32_t e = 0; e < 4; e++) sums.at[lane][e] += more.at[lane][e];
    }
  }

  template <class Body>
  void lanes(Body body) const {
    for (uint32_t lane = 0; lane < kLanes; lane++) body(lane);
  }
  static float& at(Sums& sums, uint32_t lane, uint32_t e) { return sums.at[lane][e]; }

  // Lines of matrices that ldmatrix could not have loaded.
  inline static uint64_t misaligned = 0;

 private:
  static double element(uint32_t word, uint32_t half) {
    return bf16_to_f32(static_cast<uint16_t>(word >> (16 * half)));
  }
};

}  // namespace wisemerge::test
