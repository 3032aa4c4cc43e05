// Which steps may run for all layers at once.
#include "codegen/emit/layer_runs.h"

#include "tests/catch.h"

#include <string>

using namespace cpuflow;

namespace {

/// How many steps from the first on run together, in a region of `finish` with these steps.
size_t run_of(const std::string& steps) {
  const ir::LoopProgram program = ir::parse_loops(
      "program \"x\" panel 16 shared 0 grads 64 losses 16\n"
      "buffer @0 real params [l0:5*8, f0:8*1] 8 at 0 holds all  # w\n"
      "buffer @1 real lane [l0:5*8, f0:8*1] 40 at 0 holds all  # x\n"
      "buffer @2 real lane [l0:5*8, f0:8*1] 40 at 40 holds all  # y\n"
      "buffer @3 real grads [f0:8*1] 8 at 0 holds all  # sum\n"
      "function finish scratch 80 kept 0 carried 0\n"
      "  once\n"
      "    region  # y\n"
      "      whole\n" +
      steps);
  return codegen::run_of_layers(program, program.functions[0].parts[0].regions[0].groups[0].steps, 0);
}

std::string nest(const std::string& store, const std::string& loops = "[l0:5, f0:8] reduces from 2 lanes 1") {
  return "        nest " + loops + "\n          " + store + "\n";
}

const std::string kX = "@1[l0:5, f0:8] = mul(@0[l0:5, f0:8], 2.0)";

}  // namespace

TEST_CASE("steps whose loops begin with layers run together while each looks at its own layer") {
  CHECK(run_of(nest(kX)) == 1);
  CHECK(run_of(nest(kX) + nest("@2[l0:5, f0:8] = @1[l0:5, f0:8]")) == 2);
  CHECK(run_of(nest(kX) + nest("@2[l0:5, f0:8] = @0[4, f0:8]")) == 2);  // nothing writes there
  CHECK(run_of(nest(kX) + nest("@2[l0:5, f0:8] = @1[4, f0:8]")) == 1);
  CHECK(run_of(nest(kX) + nest("@2[l0:5, f0:8] = @1[(max2(l0:5 + -1, 0)), f0:8]")) == 1);
  CHECK(run_of(nest("@2[l0:5, f0:8] = @1[4, f0:8]") + nest(kX)) == 1);
  CHECK(run_of(nest(kX) + nest("@2[4, f0:8] = 1.0", "[f0:8] reduces from 1 lanes 0") + nest(kX)) == 1);
}

TEST_CASE("what is summed over layers, or has them in vector lanes, is computed by one thread") {
  CHECK(run_of(nest("@3[f0:8] sum into @0[l0:5, f0:8]", "[f0:8, l0:5] reduces from 1 lanes 0")) == 0);
  CHECK(run_of(nest("@3[f0:8] sum into @0[l0:5, f0:8]", "[l0:5, f0:8] reduces from 0 lanes 1")) == 0);
  CHECK(run_of(nest("@3[f0:8] sum into @0[l0:5, f0:8]", "[l0:5, f0:8] reduces from 2 lanes 1")) == 0);  // each layer adds to the same sums
  CHECK(run_of(nest(kX, "[l0:5, f0:8] reduces from 2 lanes 0")) == 0);
  CHECK(run_of(nest("@2[4, f0:8] = 1.0", "[f0:8] reduces from 1 lanes 0")) == 0);
}

TEST_CASE("a step of one layer is the same without its outermost loop") {
  const ir::LoopProgram program = ir::parse_loops(
      "program \"x\" panel 16 shared 0 grads 64 losses 16\n"
      "buffer @0 real params [l0:5*8, f0:8*1] 8 at 0 holds all  # w\n"
      "buffer @1 real lane [l0:5*1] 5 at 0 holds all  # x\n"
      "function finish scratch 16 kept 0 carried 0\n"
      "  once\n"
      "    region  # x\n"
      "      whole\n"
      "        nest [l0:5, f0:8] reduces from 1 lanes 1\n"
      "          @1[l0:5] sum @0[l0:5, f0:8]\n");
  const ir::Step step = program.functions[0].parts[0].regions[0].groups[0].steps[0], one = codegen::of_one_layer(step);
  CHECK(one.nest.loops == ir::Axes{step.nest.loops[1]});
  CHECK(one.nest.reduced == 0);
  CHECK(one.nest.lane == 0);
}
