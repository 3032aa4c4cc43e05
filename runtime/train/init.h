#pragma once
#include <cstdint>
#include <string>

#include "codegen/abi/manifest.h"
#include "runtime/tensor_file.h"
#include "runtime/thread_pool.h"

namespace cpuflow::rt {

/// Fills params [param_floats] by each parameter's rule.  An element is a function of (seed, name, index): neither the order of the
/// parameters nor the number of threads matters.  Normal values are made by Box and Muller's transform.
void init_params(ThreadPool& pool, const codegen::Manifest& manifest, uint64_t seed, float* params);

/// Copies the tensors whose name and shape the model has too; what it says of the others: which parameters keep their values, and why, and
/// which tensors are left.  Throws FileError where nothing fits.
std::string warm_start(const TensorFile& file, const codegen::Manifest& manifest, float* params);

/// Takes params from tensors with the parameters' names; any real type is converted to float32.  Throws FileError that lists everything
/// missing, of wrong shape, not finite, or left over: where `left` is given, what is left over is named there instead (a published checkpoint
/// may hold tables that its code computed, or one tensor under two names).
void load_params(const TensorFile& file, const codegen::Manifest& manifest, float* params, std::string* left = nullptr);

}  // namespace cpuflow::rt
