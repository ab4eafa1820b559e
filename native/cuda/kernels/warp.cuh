// What the lanes of a warp do together with matrices: PTX ISA, "ldmatrix" and "Matrix Fragments for
// mma.m16n8k16 with floating point type". native/test/host_warp.h does the same for all lanes on the host.
#pragma once

#include "cuda/kernels/grid.h"

namespace wisemerge::cuda {

struct DeviceWarp {
  struct Words {
    uint32_t at[4];
  };
  struct Sums {
    float at[4];
  };

  uint32_t lane;

  // Four matrices of 8 x 8 16-bit elements from shared memory; address(lane) is that of a line of 16 bytes.
  template <class Address>
  __device__ __forceinline__ void load(Words& to, Address address) const {
    const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(address(lane)));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to.at[0]), "=r"(to.at[1]), "=r"(to.at[2]), "=r"(to.at[3])
                 : "r"(from)
                 : "memory");
  }

  // sums += a w^T: 16 x 16 by words 2 half and 2 half + 1 of `w`, 8 x 16, in bf16.
  // Volatile, or it might be moved to where only some lanes use the result.
  __device__ __forceinline__ void multiply_add(Sums& sums, const Words& a, const Words& w,
                                               uint32_t half) const {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(w.at[half * 2]),
          "r"(w.at[half * 2 + 1]));
  }

  __device__ __forceinline__ void add(Sums& sums, const Sums& more) const {
    WM_UNROLL
    for (uint32_t e = 0; e < 4; e++) sums.at[e] += more.at[e];
  }

  // body(lane) for every lane whose registers these are.
  template <class Body>
  __device__ __forceinline__ void lanes(Body body) const {
    body(lane);
  }

  __device__ __forceinline__ static float& at(Sums& sums, uint32_t, uint32_t e) { return sums.at[e]; }
};

}  // namespace wisemerge::cuda
