// What the verifier of LoopPrograms finds: a correct program, with one thing wrong in it.
#include "ir/diagnostics.h"
#include "ir/loops.h"
#include "ir/verify.h"
#include "tests/catch.h"

using namespace cpuflow;

namespace {

const std::string kProgram =
    "program \"x\" panel 16 shared 128 grads 64 losses 16\n"
    "buffer @0 real params [f0:8*8, f1:8*1] 64 at 0 holds all  # w\n"
    "buffer @1 real shared [] 128 at 0 holds all  # w_panels\n"
    "buffer @2 int tokens [t0:12*1] 12 at 0 holds all  # tokens\n"
    "buffer @3 real lane [t0:12*8, f0:8*1] 48 at 0 holds tile of t0:12 and 2 before  # x\n"
    "buffer @4 real lane [t0:12*8, f1:8*1] 32 at 48 holds tile of t0:12  # y\n"
    "buffer @5 real lane [t0:12*1] 1 at 80 holds register of t0:12  # z\n"
    "buffer @6 real losses [] 1 at 0 holds all  # loss\n"
    "buffer @7 real grads [f0:8*8, f1:8*1] 64 at 0 holds all  # grad_w\n"
    "buffer @8 real lane [t0:12*1] 12 at 0 holds all of t0:12  # later\n"
    "function prepare scratch 0 kept 0 carried 0\n"
    "  once\n"
    "    region  # packs\n"
    "      whole\n"
    "        pack [] k f0:8 n f1:8: @1[] = @0[f0:8, f1:8]\n"
    "function train_sequence scratch 96 kept 0 carried 0\n"
    "  once\n"
    "    region rows t0:12 tiles 4 forward  # y\n"
    "      before\n"
    "        fill @3[0, 0] 48 with 0\n"
    "      each row\n"
    "        nest [f0:8] reduces from 1 lanes 0\n"
    "          @3[t0:12, f0:8] = add(@0[(min2(max2(@2[t0:12], 0), 7)), f0:8], @3[t0:12 + -1, f0:8])\n"
    "      whole\n"
    "        product [] m t0:12 k f0:8 n f1:8: @4[t0:12, f1:8] = @3[t0:12, f0:8] @1[]\n"
    "      each row\n"
    "        nest [] reduces from 0 lanes -1\n"
    "          @5[t0:12] = mul(@4[t0:12, 3], 2.0)\n"
    "          @6[] sum into @5[t0:12]\n"
    "      whole\n"
    "        shift @3[0, 0] rows 2\n"
    "  once\n"
    "    region rows t0:12 tiles 12  # later\n"
    "      each row\n"
    "        nest [] reduces from 0 lanes -1\n"
    "          @8[t0:12] = 1.0\n"
    "        nest [] reduces from 0 lanes -1\n"
    "          @6[] sum into @8[t0:12]\n";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const size_t where = text.find(from);
  REQUIRE(where != std::string::npos);
  return text.replace(where, from.size(), to);
}

/// The same program, in which the product is used block by block for a softmax.
std::string program_with_blocks() {
  std::string text = with(kProgram, "32 at 48 holds tile of t0:12  # y\n", "0 at 0 holds block of t0:12  # y\n");
  text = with(text, "function prepare",
              "buffer @9 real lane [t0:12*1] 4 at 48 holds tile of t0:12  # most\n"
              "buffer @10 real lane [t0:12*1] 4 at 64 holds tile of t0:12  # total\n"
              "function prepare");
  text = with(text, "@3[t0:12, f0:8] @1[]\n",
              "@3[t0:12, f0:8] @1[]\n"
              "          refers to the first block while good @10[t0:12]\n"
              "          of each block nest [f1:8] reduces from 0 lanes 0\n"
              "            @9[t0:12] max @4[t0:12, f1:8]\n"
              "          of each block nest [f1:8] reduces from 0 lanes 0\n"
              "            @10[t0:12] sum exp(sub(@4[t0:12, f1:8], @9[t0:12]))\n");
  return with(text, "mul(@4[t0:12, 3], 2.0)", "add(@9[t0:12], log(@10[t0:12]))");
}

/// What the verifier says of the program with one piece of its text replaced; "" if nothing.
std::string fault(const std::string& from = "", const std::string& to = "", const std::string& whole = kProgram) {
  const std::string text = from.empty() ? whole : with(whole, from, to);
  const ir::LoopProgram program = ir::parse_loops(text);
  try {
    ir::verify(program);
  } catch (const ir::InternalError& e) {
    return e.what();
  }
  return "";
}

void complains(const std::string& about, const std::string& from, const std::string& to, const std::string& whole = kProgram) {
  const std::string message = fault(from, to, whole);
  INFO(message);
  CHECK(message.find(about) != std::string::npos);
}

}  // namespace

TEST_CASE("a loop program that breaks an invariant is refused, with the region") {
  CHECK(fault() == "");
  complains("@3 (x) is filled beyond its end", "48 at 0 holds tile", "40 at 0 holds tile");
  complains("@4 (y): its last element lies outside of it", "lane [t0:12*8, f1:8*1] 32", "lane [t0:12*8, f1:8*1] 7");
  complains("ends after the shared values", "128 at 0 holds all  # w_panels", "128 at 16 holds all  # w_panels");
  complains("train_sequence: @4 (y) ends after the function's scratch", "scratch 96", "scratch 72");
  complains("@3 (x) (regions 0 to 0) and @4 (y) (0 to 0) share memory", "32 at 48", "32 at 40");
  complains("@4 (y) is kept, and does not lie in what the function keeps", "32 at 48 holds tile of t0:12", "32 at 48 holds tile of t0:12, kept");
  complains("region 0 (y): a nest's reduction or lanes are not among its loops", "reduces from 1 lanes 0", "reduces from 2 lanes 0");
  complains("an index names f0:8, and no loop around it counts that", "nest [f0:8]", "nest [f0:4]");
  complains("rows -3 to 8 of @3 (x) are read or written, and there are 12", "@3[t0:12 + -1, f0:8]", "@3[t0:12 + -3, f0:8]");
  complains("rows 1 to 12 of @3 (x)", "@3[t0:12 + -1, f0:8]", "@3[t0:12 + 1, f0:8]");
  complains("elements 0 to 71 of @0 (w) are read or written, and the last is 63", "max2(@2[t0:12], 0), 7)", "max2(@2[t0:12], 0), 8)");
  complains("@3 (x) is set once for every step of f2:2", "nest [f0:8]", "nest [f0:8, f2:2]");
  complains("holds panels of floats for one, of bf16 for another", "pack [] k", "pack bf16 [] k");
  complains("@3 (x) is kept in bf16, and only nests set it", "@3 real", "@3 bf16 real");
  complains("@6 (loss): only real numbers of scratch are kept in bf16", "@6 real", "@6 bf16 real");
  complains("@8 (later): its last element lies outside of it", "@8 real lane [t0:12*1] 12", "@8 bf16 real lane [t0:12*1] 5");
  complains("panels are named by their first element", "@1[] = @0[f0:8, f1:8]", "@0[f1:8, f0:8] = @0[f0:8, f1:8]");
  complains("@1 (w_panels) is shared and written outside of 'prepare'", "@6[] sum into @5[t0:12]", "@1[] sum into @5[t0:12]");
  complains("@7 (grad_w) is complete, and read, only in 'finish'", "@8[t0:12] = 1.0", "@8[t0:12] = @7[0, 0]");
  complains("@4 (y) holds a part of its rows and is read by another region", "@8[t0:12] = 1.0", "@8[t0:12] = @4[t0:12, 0]");
  complains("@4 (y) holds a part of its rows and is written by two regions", "@8[t0:12] = 1.0", "@4[t0:12, 0] = 1.0");
  complains("@5 (z) never leaves its nest and is read by another", "@8[t0:12] = 1.0", "@8[t0:12] = @5[t0:12]");
  complains("@8 (later) is read before anything is written there", "mul(@4[t0:12, 3], 2.0)", "mul(@8[t0:12], 2.0)");
  complains("the result of a product depends on what is summed", "n f1:8: @4[t0:12, f1:8]", "n f1:8: @4[t0:12, f0:8]");
  complains("@4 (y) holds a part of its rows, and its row is not the region's", "mul(@4[t0:12, 3], 2.0)", "mul(@4[3, 3], 2.0)");
  complains("@3 (x) has another history than is moved", "rows 2", "rows 1");
  complains("a tile has between one row and all of them", "tiles 4 forward", "tiles 13 forward");
  complains("f0:8 is no loop over other positions", "from 1 lanes 0\n", "from 1 lanes 0 near f0:8 before 3 after 0\n");
  complains("a loop near the rows at hand leaves out some of them", "nest [f0:8] reduces from 1 lanes 0\n          @3[t0:12, f0:8] = add", "nest [f0:8, t1:12] reduces from 1 lanes 0 near t1:12 before 3 after -1\n          @3[t0:12, f0:8] = add");
  complains("units of two positions cannot end with any", "product [] m t0:12 k f0:8 n f1:8:", "product bf16 [t1:12] m t0:12 k f0:8 n f1:8 near t1:12 before 11 after 0:");
  complains("@2 (tokens) can only be read", "fill @3[0, 0] 48", "fill @2[0] 12");
}

TEST_CASE("a loop whose steps are those of the nonzeros of what is known outside of it, and adds up") {
  const std::string some = with(kProgram, "nest [] reduces from 0 lanes -1\n          @6[] sum into @8[t0:12]",
                                "nest [f0:8, f1:8] reduces from 0 lanes 1 where f0:8 is one of 2 nonzeros of @0[f0:8, 3]\n          @6[] sum into mul(@0[f0:8, 3], @0[f0:8, f1:8])");
  CHECK(fault("", "", some) == "");
  CHECK(ir::print(ir::parse_loops(some)) == some);
  complains("some steps of f1:8 run, which is no loop of the nest, or runs in lanes", "where f0:8", "where f1:8", some);
  complains("some steps of f2:8 run", "where f0:8", "where f2:8", some);
  complains("9 steps of f0:8", "one of 2", "one of 9", some);
  complains("0 steps of f0:8", "one of 2", "one of 0", some);
  complains("which steps of a loop run depends on a loop inside it", "nonzeros of @0[f0:8, 3]", "nonzeros of @0[f0:8, f1:8]", some);
  complains("@0 (w): which steps run depends on computed places", "nonzeros of @0[f0:8, 3]", "nonzeros of @0[f0:8, (@2[0])]", some);
  complains("@2 (tokens) holds no real numbers", "nonzeros of @0[f0:8, 3]", "nonzeros of @2[f0:8]", some);
  complains("elements 11 to 67 of @0 (w)", "nonzeros of @0[f0:8, 3]", "nonzeros of @0[f0:8 + 1, 3]", some);
  complains("@6 (loss) is not added up over the steps that do not run", "@6[] sum into mul", "@6[] max into mul", some);
}

TEST_CASE("a product of several terms adds them to what is there, for all rows at once") {
  const std::string joined =
      "program \"x\" panel 16 shared 128 grads 64 losses 16\n"
      "buffer @0 real lane [t0:12*8, f0:8*1] 96 at 0 holds all  # a\n"
      "buffer @1 real lane [] 192 at 96 holds all  # panels\n"
      "buffer @2 real grads [f0:8*8, f1:8*1] 64 at 0 holds all  # grad_w\n"
      "function train_sequence scratch 288 kept 0 carried 0\n"
      "  once\n"
      "    region  # sum\n"
      "      whole\n"
      "        nest [t0:12, f0:8] reduces from 2 lanes 1\n"
      "          @0[t0:12, f0:8] = 1.0\n"
      "        pack [] k t0:12 n f1:8: @1[] = @0[t0:12, f1:8]\n"
      "        product into [] m f0:8 k t0:12 n f1:8: @2[f0:8, f1:8] = @0[t0:12, f0:8] @1[] %3\n"
      "          and k t1:12: @0[t1:12, f0:8] @1[] %4\n";
  CHECK(fault("", "", joined) == "");
  CHECK(ir::print(ir::parse_loops(joined)) == ir::print(ir::parse_loops(ir::print(ir::parse_loops(joined)))));
  CHECK(ir::print(ir::parse_loops(joined)).find("and k t1:12: @0[t1:12, f0:8] @1[] %4") != std::string::npos);
  complains("a product has several terms only where they are added", "product into", "product", joined);
  complains("@1 (panels) is smaller than the panels that a product reads", "[] 192", "[] 100", joined);
  complains("an index names t2:12, and no loop around it counts that", "@0[t1:12, f0:8] @1", "@0[t2:12, f0:8] @1", joined);
}

TEST_CASE("a product that is used block by block is read by its own nests only, and refers to what they sum") {
  const std::string text = program_with_blocks();
  CHECK(fault("", "", text) == "");
  CHECK(ir::print(ir::parse_loops(text)) == ir::print(ir::parse_loops(ir::print(ir::parse_loops(text)))));
  CHECK(ir::print(ir::parse_loops(text)).find("refers to the first block while good @10[t0:12]") != std::string::npos);
  complains("@4 (y) is there only for the nests of the product that makes it", "add(@9[t0:12], log(@10[t0:12]))", "@4[t0:12, 3]", text);
  complains("a result is held for a block if there are nests for its blocks, and only then", "0 at 0 holds block", "32 at 68 holds tile", with(text, "scratch 96", "scratch 128"));
  complains("a reference is the largest number of a row", "@9[t0:12] max", "@9[t0:12] min", text);
  complains("has nests that sum what it is good for", "while good @10[t0:12]", "while good @9[t0:12]", text);
  complains("one loop, over the columns of the product, in lanes", "lanes 0\n            @10", "lanes -1\n            @10", text);
  complains("what is computed for blocks is set, or reduced", "@10[t0:12] sum", "@10[t0:12] sum into", text);
  complains("only a product of a tile's rows that is set is used by blocks", "product [] m", "product into [] m", text);
}
