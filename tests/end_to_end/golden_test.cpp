#include <cstdlib>
#include <nlohmann/json.hpp>

#include "ir/cpu_target.h"
#include "tests/catch.h"
#include "tests/end_to_end/process.h"

namespace {

const std::vector<std::string> kGoldens{"v5ln", "v5ln-odd", "v5ln-one"};
const char* kSmall = "--set V=96 T=16 B=2 d=32 k=16 ff=24 L=2 fsp_tau=4 fsp_rate=2";

void check_golden(const std::string& name, const std::vector<std::string>& flags, const std::string& model = "v5ln") {
  const Result result = cpuflowc(std::vector<std::string>{"check", model, "--golden", golden(name), "--json"} + flags);
  INFO(name);
  for (const std::string& flag : flags) INFO(flag);
  INFO(result.err);
  REQUIRE(!result.out.empty());
  const nlohmann::json report = nlohmann::json::parse(result.out);
  INFO(report["tensors"][0].dump());
  CHECK(result.status == 0);
  CHECK(report["ok"] == true);
  CHECK(report["tensors"].size() >= 17);
}

}  // namespace

TEST_CASE("compiled code equals the golden files on every target that runs here, fused and unfused") {
  for (const std::string& target : cpuflow::ir::target_names()) {
    if (cpuflow::ir::target_by_name(target).fast_bf16 || cpuflow::ir::target_by_name(target).emulates_tiles) continue;  // their float32 code is that of avx512
    if (!cpuflow::ir::runs_here(cpuflow::ir::target_by_name(target))) {
      WARN("skipped: this machine cannot run " << target << ", it is compiled only");
      for (const char* unfused : {"", " --unfused"}) {
        const Result result = cpuflowc(words("compile v5ln --emit asm --target " + target + unfused + " " + kSmall));
        INFO(result.err);
        CHECK(result.status == 0);
        CHECK(contains(result.out, "train_sequence"));
        if (target == "avx512") CHECK(contains(result.out, "zmm"));
      }
      continue;
    }
    for (const std::string& name : kGoldens) {
      check_golden(name, {"--target", target});
      check_golden(name, {"--target", target, "--unfused"});
    }
  }
}

TEST_CASE("models with attention, recurrences, chunks and sums over the batch equal their golden files") {
  for (const char* name : {"gpt2", "gru", "v5_causal", "v74_causal", "v85", "v9", "mamba", "rwkv", "retnet", "deltanet"}) {
    check_golden(name, {}, name);
    check_golden(name, {"--unfused"}, name);
  }
}

TEST_CASE("products of bf16 numbers keep the direction of every gradient, on every target that runs here") {
  for (const std::string& target : cpuflow::ir::target_names()) {
    if (!cpuflow::ir::runs_here(cpuflow::ir::target_by_name(target))) continue;
    check_golden("v5ln-odd", {"--precision", "bf16", "--target", target});
  }
  check_golden("v5ln-odd", {"--precision", "bf16", "--unfused"});
  for (const char* name : {"gpt2", "gru", "v5_causal", "v74_causal", "v85", "mamba", "rwkv", "retnet"}) check_golden(name, {"--precision", "bf16"}, name);
  if (cpuflow::ir::runs_here(cpuflow::ir::target_by_name("amx-emulated"))) {
    for (const char* name : {"gpt2", "gru", "v9"}) check_golden(name, {"--precision", "bf16", "--target", "amx-emulated"}, name);
  }
  // they are rounded
  CHECK(cpuflowc({"check", "v5ln", "--golden", golden("v5ln"), "--precision", "bf16", "--tolerance", "1e-4"}).status == 1);
}

TEST_CASE("code from an installed compiler equals the golden file") { check_golden("v5ln-odd", {"--exec", "dlopen"}); }

TEST_CASE("the interpreter equals the golden files in double precision") {
  for (const std::string& name : kGoldens) {
    const Result result = cpuflowc({"check", "v5ln", "--golden", golden(name), "--exec", "interpret", "--json"});
    INFO(result.err);
    REQUIRE(!result.out.empty());
    const nlohmann::json report = nlohmann::json::parse(result.out);
    INFO(report["tensors"][0].dump());
    CHECK(result.status == 0);
    CHECK(report["tolerance"] == 1e-6);
  }
}

TEST_CASE("a difference is found and its worst element named") {
  const Result result = cpuflowc({"check", "v5ln", "--golden", golden("v5ln"), "--set", "fsp_alpha=0.2", "--set", "train.accumulate=\"sum\""});
  CHECK(result.status == 1);
  CHECK(contains(result.out, "FAIL loss.total"));
  CHECK(contains(result.out, "worst at ["));
  CHECK(contains(result.out, "expected"));
}

TEST_CASE("grad writes what check compares") {
  const TemporaryFolder folder;
  const Result result = cpuflowc({"grad", "v5ln", "--inputs", golden("v5ln"), "--out", folder / "out.safetensors", "--json"});
  INFO(result.err);
  REQUIRE(result.status == 0);
  const nlohmann::json report = nlohmann::json::parse(result.out);
  CHECK(report["losses"].contains("ce"));
  CHECK(report["grad_norm"] > 0);
  const std::string bytes = text_of(folder / "out.safetensors");
  for (const char* name : {"\"logits\"", "\"loss.total\"", "\"grad.blocks.1.W_proj.weight\"", "\"grad.embed.weight\""})
    CHECK(contains(bytes, name));
}

TEST_CASE("every stage can be printed") {
  const std::vector<std::pair<std::string, std::string>> stages{{"parsed", "cumsum"},        {"backward", "grad."},   {"graph", "grad."},
                                                                {"loops", "train_sequence"}, {"cpp", "extern \"C\""}, {"llvm", "define"},
                                                                {"asm", "train_sequence"}};
  for (const auto& [stage, part] : stages) {
    INFO(stage);
    const Result result = cpuflowc(words("compile v5ln --emit " + stage + " " + kSmall));
    INFO(result.err);
    CHECK(result.status == 0);
    CHECK(contains(result.out, part));
  }
  CHECK(contains(cpuflowc(words(std::string("compile v5ln --emit parsed --dot ") + kSmall)).out, "digraph"));
}

TEST_CASE("generated code compiles on its own without a warning, by clang and by g++") {
  const TemporaryFolder folder;
  const std::string avx512 = " -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd";
  for (const char* model : {"v74_causal", "v9", "v5ln --precision bf16", "gpt2 --precision bf16"}) {
    const Result text = cpuflowc(words(std::string("compile ") + model + " --emit cpp"));
    REQUIRE(text.status == 0);
    folder.write("model.cpp", text.out);
    for (const char* compiler : {"clang++-19", "g++"}) {
      if (std::system((std::string("command -v ") + compiler + " > /dev/null").c_str()) != 0) {
        WARN("skipped: " << compiler << " is not installed");
        continue;
      }
      for (const std::string& flags : {std::string(), avx512, avx512 + " -DCPUFLOW_EMULATES_TILES", avx512 + " -mavx512bf16 -mamx-tile -mamx-bf16"}) {
        INFO(model << " by " << compiler << flags);
        CHECK(std::system((compiler + flags + " -std=c++20 -fsyntax-only -Wall -Wextra -Werror " + (folder / "model.cpp")).c_str()) == 0);
      }
    }
  }
}

TEST_CASE("compile reports, dumps, times and writes files") {
  const TemporaryFolder folder;
  const Result text = cpuflowc(
      words("compile v5ln --explain --time-passes --check-each --dump " + folder / "dump" + " --out " + folder / "out" + " " + kSmall));
  INFO(text.err);
  REQUIRE(text.status == 0);
  for (const char* part : {"Parameters", "Loss terms", "fsp", "Regions", "Cost of a token", "Memory", "Decisions", "opens a new region", "Milliseconds"}) {
    INFO(part);
    CHECK(contains(text.out, part));
  }
  CHECK(std::filesystem::exists(folder / "out/cpuflow-v5ln.cpp"));
  CHECK(std::filesystem::exists(folder / "out/manifest.json"));
  CHECK(std::filesystem::exists(folder / "dump/graph.dot"));
  CHECK(std::filesystem::exists(folder / "dump/model.cpp"));
  // The same program gives the same text.
  CHECK(text_of(folder / "dump/model.cpp") == text_of(folder / "out/cpuflow-v5ln.cpp"));
  // A dumped stage can be read back: a pass that has nothing left to do changes nothing.
  for (const auto& entry : std::filesystem::directory_iterator(folder / "dump")) {
    if (!contains(entry.path().filename().string(), "drop_stops")) continue;
    const Result again = cpuflowc({"compile", "--pass", "drop_stops", entry.path().string()});
    INFO(again.err);
    CHECK(again.status == 0);
    CHECK(again.out == text_of(entry.path().string()));
  }
  const Result json = cpuflowc(words(std::string("compile v5ln --json ") + kSmall));
  const nlohmann::json report = nlohmann::json::parse(json.out);
  CHECK(report["parameters"] > 1000);
  CHECK(report["memory_bytes"]["training"] > 0);
  CHECK(report["per_token"]["forward_and_backward"]["product_flops"] > report["per_token"]["forward"]["product_flops"]);
}
