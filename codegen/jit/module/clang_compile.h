#pragma once
#include "codegen/jit/module/module_api.h"

/// The functions of cpuflow_jit_module_api that need clang.
int clang_compile(const char* const* arguments, size_t argument_count, const char* text, size_t size, const char* file_name,
                  cpuflow_jit_sink result, cpuflow_jit_sink errors);
const char* clang_version();
