#include "passes/pipeline.h"

#include "ir/diagnostics.h"
#include "passes/band_windows.h"
#include "passes/canonicalise.h"
#include "passes/chunk_sums.h"
#include "passes/collect_sequences.h"
#include "passes/compensate_sums.h"
#include "passes/count_matches.h"
#include "passes/count_micro_batches.h"
#include "passes/derive_rows.h"
#include "passes/differentiate.h"
#include "passes/drop_deviations.h"
#include "passes/drop_stops.h"
#include "passes/fold_scales.h"
#include "passes/merge_linear_maps.h"
#include "passes/normalise_sums.h"
#include "passes/rename_late.h"
#include "passes/restrict_rows.h"
#include "passes/restrict_to_chosen.h"
#include "passes/save_activations.h"
#include "passes/solve_scatters.h"
#include "passes/split_choices.h"
#include "passes/split_chunks.h"
#include "passes/sum_sequences_late.h"
#include "passes/use_reciprocals.h"

#include <fmt/format.h>

#include <chrono>

namespace cpuflow::passes {

const std::vector<Pass>& graph_pipeline() {
  static const std::vector<Pass> passes = {
      {"canonicalise", "first: the order of the text has no say in anything that follows", canonicalise},
      {"rename_late", "before everything that looks for equal values: two names of a value are one", rename_late},
      {"collect_sequences", "before differentiate: the gradient of a sum over sequences is known in each of them", collect_sequences},
      {"restrict_rows", "before differentiate: what few positions need has gradients at few positions", restrict_rows},
      {"derive_rows", "before sums are brought into their form for whole sequences", derive_rows},
      {"split_chunks", "before sums are brought into their form: positions of a chunk are an axis then", split_chunks},
      {"band_windows", "before sums are brought into their form: a window's positions are an axis then", band_windows},
      {"chunk_sums", "before sums of three factors are brought into products for all pairs of positions", chunk_sums},
      {"normalise_sums", "before differentiate: the gradient of a prefix sum is a prefix sum", normalise_sums},
      {"merge_linear_maps", "before differentiate: the gradients of the maps come from that of the merged one", merge_linear_maps},
      {"fold_scales", "before differentiate: the gradients of scales and biases come from that of the matrix that they join", fold_scales, For::Bf16},
      {"canonicalise_sums", "sums that were written in two ways are one now, and must be numbered as one", canonicalise},
      {"differentiate", "before everything that groups values: gradients are grouped with the rest", differentiate},
      {"drop_stops", "gradients exist, so nothing needs to be kept from them", drop_stops},
      {"count_matches", "before solve_scatters, which knows where some scatters go", count_matches},
      {"solve_scatters", "gradients of reads at known indices become reads", solve_scatters},
      {"sum_sequences_late", "after solve_scatters: what it reads of sums over sequences is summed up in each", sum_sequences_late},
      {"use_reciprocals", "before sums are brought into their form: what is divided by stands outside of them", use_reciprocals},
      {"drop_deviations", "after use_reciprocals, which makes a mean a sum times a constant", drop_deviations},
      {"split_choices", "before sums are brought into their form: what is left is a sum of two factors", split_choices},
      {"normalise_gradient_sums", "the sums that gradients brought", normalise_sums},
      {"compensate_sums", "after everything that recognises prefix sums", compensate_sums, For::Float32},
      {"restrict_to_chosen", "after everything that brings sums into their form: a condition stands inside of them now", restrict_to_chosen},
      {"count_micro_batches", "nothing behind it may see that what it multiplies with is 1", count_micro_batches},
      {"save_activations", "last: what the backward pass reads is known", save_activations, For::Bf16},
      {"save_masked", "last: what the backward pass reads is known", save_masked, For::Float32},
  };
  return passes;
}

ir::Graph run_pipeline(ir::Graph graph, const PipelineOptions& options) {
  std::vector<std::string> names;
  for (const Pass& p : graph_pipeline()) names.push_back(p.name);
  auto known = [&](const std::string& name) {
    for (const std::string& n : names) {
      if (n == name) return;
    }
    throw ir::ModelError(fmt::format("error: unknown pass '{}'{}; `cpuflowc passes` lists them", name, ir::suggestion(name, names)));
  };
  for (const std::string& s : options.skip) known(s);
  if (!options.stop_after.empty()) known(options.stop_after);
  int number = 0;
  if (options.after) options.after(number, "parsed", graph, 0);
  for (const Pass& p : graph_pipeline()) {
    ++number;
    if (!options.skip.count(p.name) && p.programs != (options.bf16 ? For::Float32 : For::Bf16)) {
      const auto start = std::chrono::steady_clock::now();
      graph = p.run(graph);
      if (options.after) options.after(number, p.name, graph, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    if (options.stop_after == p.name) break;
  }
  return graph;
}

}  // namespace cpuflow::passes
