#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/catch.h"
#include "tests/end_to_end/process.h"

TEST_CASE("every command has a help text with an example") {
  const std::string all = cpuflowc({"--help"}).out;
  std::vector<std::string> commands;
  std::istringstream lines(all.substr(std::min(all.find("Subcommands:"), all.size())));
  for (std::string line; std::getline(lines, line) && !line.empty();) {
    if (line.starts_with("  ")) commands.push_back(words(line)[0]);
  }
  CHECK(commands.size() == 12);
  for (const std::string& command : commands) {
    INFO(command);
    const Result result = cpuflowc({command, "--help"});
    CHECK(result.status == 0);
    CHECK(result.err.empty());
    CHECK(contains(result.out, "cpuflowc " + command));
    CHECK(contains(result.out, "Example"));
    CHECK(contains(result.out, "--json") == (command != "explain"));
    CHECK(cpuflowc({"help", command}).out == result.out);
  }
  CHECK(contains(cpuflowc({}).out, "Example"));
  CHECK(cpuflowc({"help"}).out == all);
  CHECK(contains(cpuflowc({"help", "trian"}).err, "did you mean 'train'?"));
}

TEST_CASE("the version is that of the build") {
  const Result result = cpuflowc({"--version"});
  CHECK(result.status == 0);
  const std::string cmake = text_of(CPUFLOW_SOURCE_DIR "/CMakeLists.txt");
  const size_t at = cmake.find("VERSION ", cmake.find("project(")) + 8;
  CHECK(contains(result.out, "cpuflowc " + cmake.substr(at, cmake.find(' ', at) - at)));
}

TEST_CASE("what does not exist on the command line is named, with the nearest that does") {
  struct Case {
    std::string args, message;
  };
  const std::vector<Case> cases{
      {"trai v5ln", "unknown command 'trai'; did you mean 'train'?"},
      {"--verzion", "unknown flag '--verzion'; did you mean '--version'?"},
      {"compile v5ln --emitt cpp", "unknown flag '--emitt' of 'cpuflowc compile'; did you mean '--emit'?"},
      {"train v5ln --weights w.pt", "unknown flag '--weights' of 'cpuflowc train'; is it one of these?\n  --init: "},
      {"train v5ln --data x --out y --steps 5 --budget 5m", "train: expected one of --budget, --steps and --replay, and more are given"},
      {"compile v5ln --emit cpq", "--emit: unknown stage 'cpq'; did you mean 'cpp'?"},
      {"compile v5ln --set d 32", "--set: expected NAME=VALUE without spaces, as in --set d=32 train.lr=1e-3, found 'd'"},
      {"sample runs/mine Once upon a time", "sample: the prompt is one text: write it in quotes"},
      {"compile v5ln --emit cpp --out x", "--emit prints in place of the report, which --out belongs to"},
      {"compile v5ln --stop-after fold --json", "--stop-after prints in place of the report, which --json belongs to"},
      {"compile v5ln --target avx3", "--target: unknown target 'avx3'; did you mean 'avx2'?"},
      {"compile v5ln --exec jit", "--exec: expected interpret, dlopen or orc, found 'jit'"},
      {"compile v5ln --set d", "--set: expected NAME=VALUE without spaces, as in --set d=32 train.lr=1e-3, found 'd'"},
      {"compile v5ln --set d=64 L=2 d=32", "--set: 'd' is set twice, to '64' and to '32'; leave one out"},
      {"compile --pass fold_scales v5ln", "--pass: expected a Graph in its text form, NAME.ir, found 'v5ln'"},
      {"compile v5ln --stop-after fold_scales --emit loops", "--stop-after fold_scales prints the Graph after that pass; there is no 'loops' of it"},
      {"compile --pass solve_scater x.ir", "--pass: unknown pass 'solve_scater'; did you mean 'solve_scatters'?"},
      {"bench v5ln --exec interpret", "--exec interpret: 'bench' needs compiled code"},
      {"train v5ln --data x --out y", "--steps"},
      {"train v5ln --data x --out y --budget 10", "--budget: 10 has no unit; write 10s, 10m or 10h"},
      {"train v5ln --data x --out y --budget 10parsecs", "--budget: expected a time such as 90s, 10m or 2h, found '10parsecs'"},
      {"train v5ln --data x --out y --steps 10 --order random", "--order"},
      {"train v5ln --data x --out y --steps 1 --save-every nan", "--save-every: expected a number from 0 on, found 'nan'"},
      {"train v5ln --data x --out y --budget inf", "--budget: expected a time such as 90s, 10m or 2h, found 'inf'"},
      {"train v5ln --data x --out y --steps 1 --seed -1", "--seed: expected a whole number from 0 to 18446744073709551615, found '-1'"},
      {"corpus x.txt --seed 18446744073709551616", "--seed: expected a whole number from 0 to 18446744073709551615, found '18446744073709551616'"},
      {"sample run --seed -7", "--seed: expected a whole number from 0 to 18446744073709551615, found '-7'"},
      {"sample run --seed 1.5", "--seed: expected a whole number from 0 to 18446744073709551615, found '1.5'"},
      {"sample run --temperature nan", "--temperature: expected a number from 0 on, found 'nan'"},
      {"sample run --temperature inf", "--temperature: expected a number from 0 on, found 'inf'"},
      {"sample run --top-p 0", "--top-p: expected a number above 0, at most 1, found '0'"},
      {"sample run --top-p nan", "--top-p: expected a number above 0, at most 1, found 'nan'"},
      {"sample run --min-p nan", "--min-p: expected a number from 0 to 1, found 'nan'"},
      {"sample run --repetition-penalty nan", "--repetition-penalty: expected a number above 0, found 'nan'"},
      {"sample run --frequency-penalty nan", "--frequency-penalty: expected a number, found 'nan'"},
      {"sample run --presence-penalty inf", "--presence-penalty: expected a number, found 'inf'"},
      {"sample run --beta nan", "--beta: expected a number, found 'nan'"},
      {"sample run --no-repeat-ngram 1", "--no-repeat-ngram: expected 0, or 2 and more, found '1'"},
      {"compile", "MODEL is required"},
      {"sample", "DIR is required"},
  };
  for (const Case& c : cases) {
    INFO(c.args);
    const Result result = cpuflowc(words(c.args));
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    INFO(result.err);
    CHECK(contains(result.err, c.message));
  }
}

TEST_CASE("passes are listed with their reasons") {
  const Result text = cpuflowc({"passes"});
  CHECK(text.status == 0);
  CHECK(contains(text.out, "differentiate"));
  const nlohmann::json list = nlohmann::json::parse(cpuflowc({"passes", "--json"}).out);
  REQUIRE(list.size() >= 4);
  for (const nlohmann::json& pass : list) CHECK(pass["why"].get<std::string>().size() > 20);
}
