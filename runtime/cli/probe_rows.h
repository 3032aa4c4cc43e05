#pragma once
#include "codegen/abi/manifest.h"
#include "codegen/jit/jit.h"

namespace cpuflow::cli {

/// Whether logits made one position at a time equal those of the same positions made at once, on random parameters and tokens.  Where they
/// do not, a position reads later ones (or waits for them), and sampling must recompute the text before it.
/// A probe of the first 64 positions, not a proof; what it measured is kept in the cache beside the code.  tolerance: of the norm of all
/// differences, as a share of the norm of the logits.
bool rows_agree(const codegen::Executable& exe, const codegen::JitRecord& code, const codegen::JitOptions& options, double tolerance);

}  // namespace cpuflow::cli
