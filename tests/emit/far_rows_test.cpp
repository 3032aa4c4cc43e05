// Which rows are asked for before a loop comes to them.
#include "codegen/emit/emit_cpp.h"
#include "ir/loops.h"
#include "tests/catch.h"

#include <string>

using namespace cpuflow;

TEST_CASE("the next row of what lies far away is asked for, in the order of the rows") {
  for (const auto& [order, sign] : {std::pair("forward", "+"), {"backward", "-"}}) {
    const ir::LoopProgram program = ir::parse_loops(std::string("program \"x\" panel 16 shared 0 grads 64 losses 16\n"
                                                                "buffer @0 real lane [t0:8*48, f0:32*1] 384 at 0 holds all of t0:8, far  # saved\n"
                                                                "buffer @1 real lane [t0:8*64, f0:32*1] 512 at 384 holds all of t0:8  # near\n"
                                                                "buffer @2 real lane [t0:8*80, f0:32*1] 640 at 896 holds all of t0:8, far  # made\n"
                                                                "buffer @3 real lane [t0:8*96, f0:32*1] 768 at 1536 holds all of t0:8  # sum\n"
                                                                "function train_sequence scratch 4096 kept 0 carried 0\n"
                                                                "  once\n"
                                                                "    region rows t0:8 tiles 8 ") + order + "  # x\n"
                                                    "      each row\n"
                                                    "        nest [f0:32] reduces from 1 lanes 0\n"
                                                    "          @2[t0:8, f0:32] = mul(@0[t0:8, f0:32], @1[t0:8, f0:32])\n"
                                                    "          @3[t0:8, f0:32] = add(@2[t0:8, f0:32], @0[t0:8, f0:32])\n");
    const std::string text = codegen::emit_cpp(program, ir::Graph(), {});
    const std::string code = text.substr(text.find("void train_sequence_0"));
    INFO(code);
    const auto times = [&](const std::string& what) {
      int count = 0;
      for (size_t at = code.find(what); at != std::string::npos; at = code.find(what, at + 1)) ++count;
      return count;
    };
    CHECK(times(std::string("kernel::will_read(saved_0 + 48 * t + i0_32 ") + sign + " 48);") == 1);
    CHECK(times(std::string("kernel::will_write(made_2 + 80 * t + i0_32 ") + sign + " 80);") == 1);
    CHECK(times("kernel::will_") == 2);  // neither what is near, nor what the loop has just made
  }
}
