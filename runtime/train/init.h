#pragma once
#include <cstdint>
#include <string>

#include "codegen/abi/manifest.h"
#include "runtime/safetensors.h"
#include "runtime/thread_pool.h"

namespace cpuflow::rt {

/// Fills params [param_floats] by each parameter's rule.  An element is a function of (seed, name, index): neither the order of the
/// parameters nor the number of threads matters.  Normal values are made by Box and Muller's transform.
void init_params(ThreadPool& pool, const codegen::Manifest& manifest, uint64_t seed, float* params);

/// Copies the tensors whose name and shape the model has too; what it says of the others: which parameters keep their values, and why, and
/// which tensors are left.  Throws FileError where nothing fits.
std::string warm_start(const SafetensorsFile& file, const codegen::Manifest& manifest, float* params);

/// Takes params from tensors with the parameters' names, or these with `prefix` before them; any real type is converted to float32.
/// Throws FileError that lists everything missing, left over, of wrong shape or not finite.
void load_params(const SafetensorsFile& file, const codegen::Manifest& manifest, float* params, const std::string& prefix = "");

}  // namespace cpuflow::rt
