// Memory of the CUDA runtime without a device: which ranges are device memory, and which of the host are
// page-locked. Copies are held to it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace wisemerge::test {

enum class FakeMemory { kDevice, kPinned, kRegistered };

// Fresh memory has a pattern, and so has the beginning of freed memory until somebody else gets it.
cudaError_t fake_allocate(void** pointer, size_t bytes, FakeMemory kind);
cudaError_t fake_free(void* pointer, FakeMemory kind);

// Page-locking works in whole pages, of which no two registrations share one.
cudaError_t fake_register(void* pointer, size_t bytes);
cudaError_t fake_unregister(void* pointer);

// Whether one allocation holds all of the range.
bool fake_device_holds(const void* pointer, size_t bytes);
// Whether one allocation or registration of page-locked host memory does.
bool fake_pinned_holds(const void* pointer, size_t bytes);

}  // namespace wisemerge::test
