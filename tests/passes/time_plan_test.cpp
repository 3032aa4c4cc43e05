// How the statements of the zoo look at other positions, and what a position costs when sequences grow.
#include "passes/time_plan.h"

#include "modeldefs/frontend/build_graph.h"
#include "passes/pipeline.h"
#include "tests/catch.h"

#include <map>

using namespace cpuflow;

namespace {

std::vector<passes::StatementCost> plan(const std::string& model, const std::string& T) {
  ir::Diagnostics diagnostics;
  const frontend::Model m = frontend::load_model(frontend::find_model(model), {{"T", T}}, diagnostics);
  passes::PipelineOptions options;
  options.stop_after = "canonicalise_sums";
  return passes::time_plan(passes::run_pipeline(m.graph, options), m.T);
}

/// How the statement that begins with `start` is run.
std::string how(const std::string& model, const std::string& start) {
  for (const passes::StatementCost& s : plan(model, "256")) {
    if (s.loc.text().starts_with(start)) return s.how;
  }
  return "no such statement";
}

double total(const std::string& model, const std::string& T) {
  double flops = 0;
  for (const passes::StatementCost& s : plan(model, T)) flops += s.flops;
  return flops;
}

}  // namespace

TEST_CASE("how statements look at other positions") {
  CHECK(how("v5ln", "x_n") == "");
  CHECK(how("v8", "scan  =") == "a running sum");
  CHECK(how("v8", "read[t,j]") == "chunks of 64 positions, and a state between them");
  CHECK(how("v74_causal", "a[t,h,s]") == "a band: 64 positions at a time, with the 64 before them");
  CHECK(how("v74_causal", "memory[t,h,j]") == "all pairs of positions");
  CHECK(how("gru", "h = ") == "a recurrence, row after row");
  CHECK(how("gpt2", "a[t,h,s]") == "all pairs of positions");
}

TEST_CASE("a position costs the same in a sequence of any length, but for attention") {
  for (const char* model : {"v5ln", "v7", "v8", "v85", "v9", "v97", "gru"}) {
    INFO(model);
    CHECK(total(model, "1024") < 1.03 * total(model, "256"));
  }
  CHECK(total("gpt2", "1024") > 1.2 * total("gpt2", "256"));
}
