#include "runtime/cli/bench_regions.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "passes/kit/rewrite.h"

namespace cpuflow::cli {
namespace {

/// Ticks of each region of one pass, in the order of the program's regions.
std::vector<double> ticks(BenchProgram& program) {
  program.run(Work::ForwardBackward);  // the first one touches the memory for the first time
  const std::vector<uint64_t> before = program.profile();
  program.run(Work::ForwardBackward);
  std::vector<double> out;
  for (size_t i = 0; i < program.profile().size(); ++i) out.push_back(static_cast<double>(program.profile()[i] - before[i]));
  return out;
}

/// Times in the order of the program's regions; names count them within their functions.
std::vector<RegionTime> times_of(BenchProgram& program) {
  const std::vector<double> all = ticks(program);
  const double T = static_cast<double>(program.model().exe.manifest.T);
  double total = 0;
  for (const double t : all) total += t;
  std::vector<RegionTime> out;
  std::map<std::string, int> numbers;
  for (size_t i = 0; i < all.size(); ++i) {
    const passes::RegionCosts& region = program.model().costs[i];
    out.push_back({fmt::format("{} {} {}", region.function, numbers[region.function]++, region.region), all[i] / total, region.product_flops / T, region.bytes / T});
  }
  return out;
}

/// Where fused code computes what each region of unfused code computes.
class Homes {
 public:
  Homes(const CompiledModel& fused) : fused_(fused), users_(passes::users_of(fused.graph)) {
    for (size_t i = 0; i < fused.costs.size(); ++i) {
      for (const ir::NodeId n : fused.costs[i].nodes) homes_.try_emplace({fused.costs[i].function, n}, i);
      names_.try_emplace({fused.costs[i].function, fused.costs[i].region}, i);
    }
  }

  /// The number of a fused region; that of none where there is no such place.
  size_t find(const passes::RegionCosts& region) const {
    std::set<ir::NodeId> seen(region.nodes.begin(), region.nodes.end());
    for (std::vector<ir::NodeId> open = region.nodes; !open.empty();) {
      std::vector<ir::NodeId> next;
      for (const ir::NodeId n : open) {
        if (const auto home = homes_.find({region.function, n}); home != homes_.end()) return home->second;
        for (const ir::NodeId user : users_[n]) {
          if (seen.insert(user).second) next.push_back(user);
        }
      }
      open = std::move(next);
    }
    const auto named = names_.find({region.function, region.region});
    return named == names_.end() ? fused_.costs.size() : named->second;
  }

 private:
  const CompiledModel& fused_;
  std::vector<std::vector<ir::NodeId>> users_;
  std::map<std::pair<std::string, ir::NodeId>, size_t> homes_;
  std::map<std::pair<std::string, std::string>, size_t> names_;
};

/// Without those that take no time.
std::vector<RegionTime> longest_first(std::vector<RegionTime> times) {
  std::erase_if(times, [](const RegionTime& t) { return t.share == 0 && t.unfused_share == 0; });
  std::stable_sort(times.begin(), times.end(), [](const RegionTime& a, const RegionTime& b) { return a.share > b.share; });
  return times;
}

}  // namespace

RegionTimes region_times(BenchProgram& fused, BenchProgram& unfused) {
  RegionTimes out{times_of(fused), times_of(unfused)};
  const Homes homes(fused.model());
  RegionTime nowhere{"what fused code does not compute"};
  for (size_t i = 0; i < out.unfused.size(); ++i) {
    const size_t home = homes.find(unfused.model().costs[i]);
    RegionTime& place = home < out.fused.size() ? out.fused[home] : nowhere;
    place.unfused_share += out.unfused[i].share;
    if (out.unfused[i].share > 0) place.unfused_bytes += out.unfused[i].bytes;
  }
  out.fused.push_back(nowhere);
  return {longest_first(std::move(out.fused)), longest_first(std::move(out.unfused))};
}

}  // namespace cpuflow::cli
