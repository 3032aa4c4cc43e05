// Offsets in what is printed.
#include "codegen/emit/emit_cpp.h"
#include "ir/loops.h"
#include "tests/catch.h"

#include <string>

using namespace cpuflow;

TEST_CASE("offsets that 32 bits do not hold are computed with 64") {
  for (const auto& [stride, expected] : {std::pair("40000000", "40000000 * layer"), {"400000000", "400000000L * layer"}}) {
    const ir::LoopProgram program = ir::parse_loops(std::string("program \"x\" panel 16 shared 0 grads 64 losses 16\n"
                                                                "buffer @0 real params [l0:8*") + stride + ", f0:8*1] 8 at 0 holds all  # w\n"
                                                    "buffer @1 real lane [f0:8*1] 8 at 0 holds all  # x\n"
                                                    "function train_sequence scratch 80 kept 0 carried 0\n"
                                                    "  layers l0:8 up\n"
                                                    "    region  # x\n"
                                                    "      whole\n"
                                                    "        nest [f0:8] reduces from 1 lanes 0\n"
                                                    "          @1[f0:8] = mul(@0[l0:8, f0:8], 2.0)\n");
    const std::string text = codegen::emit_cpp(program, ir::Graph(), {});
    INFO(text.substr(text.find("train_sequence_0")));
    CHECK(text.find(expected) != std::string::npos);
  }
}
