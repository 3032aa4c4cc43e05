#pragma once
#include <string>
#include <vector>

#include "codegen/jit/jit.h"

namespace cpuflow::codegen {

/// What the compiler makes of a text.
enum class Product { Object, Assembly, Llvm };

/// Arguments of an installed clang++ or g++, without input and output.
std::vector<std::string> driver_flags(const JitOptions& options);

/// Arguments of `clang -cc1` with the same meaning.  `triple` names the machine.
std::vector<std::string> cc1_flags(const JitOptions& options, Product product, const std::string& triple);

/// Hash of everything that determines the object, as 32 hexadecimal digits: text, flags, compiler, format of the cache.
std::string object_key(const std::string& text, const std::string& file_name, const std::vector<std::string>& flags,
                       const std::string& compiler);

}  // namespace cpuflow::codegen
