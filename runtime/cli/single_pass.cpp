#include "runtime/cli/single_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "passes/differentiate.h"
#include "runtime/cli/aligned_floats.h"
#include "runtime/cli/command.h"
#include "runtime/data/strict_json.h"
#include "runtime/train/call_group.h"
#include "runtime/train/init.h"

namespace cpuflow::cli {
namespace {

/// The buffers of one pass over one micro-batch.
struct Run {
  Run(const codegen::Executable& exe, const PassInputs& inputs)
      : exe(exe),
        m(exe.manifest),
        lanes(m.together > 1 ? 1 : static_cast<size_t>(std::max<int64_t>(1, m.lanes))),  // what runs together is of one lane
        params(m.param_floats),
        shared(m.shared_floats),
        terms(m.losses.size() + m.watch.size()) {
    for (const codegen::ParamInfo& p : m.params) {
      const std::vector<float>& values = inputs.params.at(p.name);
      std::copy(values.begin(), values.end(), params.get() + p.offset);
    }
    call.params = params.get();
    call.shared = shared.get();
    exe.prepare(&call);
  }
  void take_sequence(const PassInputs& inputs, int64_t b) {
    call.tokens = inputs.tokens.data() + b * m.T;
    call.targets = inputs.targets.data() + b * m.T;
    call.sequence = static_cast<int32_t>(b);
  }
  /// Sums the lanes' copies into the first.
  static void sum(const std::vector<AlignedFloats>& parts, uint64_t count) {
    for (size_t l = 1; l < parts.size(); ++l) {
      for (uint64_t i = 0; i < count; ++i) parts[0].get()[i] += parts[l].get()[i];
    }
  }
  std::vector<AlignedFloats> lane_buffers(uint64_t floats) const {
    std::vector<AlignedFloats> out;
    for (size_t l = 0; l < lanes; ++l) out.emplace_back(floats);
    return out;
  }
  /// `kernel` on all sequences, after the sums that they read of each other; the first lane's losses are the sums of all.
  void sequences(cpuflow_kernel* kernel, const PassInputs& inputs, const std::vector<AlignedFloats>& lane, const std::vector<AlignedFloats>& losses,
                 const std::vector<AlignedFloats>* grads) {
    std::vector<cpuflow_kernel*> kernels = exe.batch_sums;
    if (!grads) kernels.insert(kernels.end(), exe.eval_sums.begin(), exe.eval_sums.end());
    kernels.push_back(kernel);
    call.sums = losses[0].get();
    call.lane = lane[0].get();
    for (cpuflow_kernel* k : kernels) {
      for (size_t l = 0; l < lanes; ++l) {
        rt::CallGroup group(k, m, m.together, lane[l].get());
        for (int64_t b = static_cast<int64_t>(l); b < inputs.B; b += static_cast<int64_t>(lanes)) {
          take_sequence(inputs, b);
          call.grads = grads ? (*grads)[l].get() : nullptr;
          call.losses = losses[l].get();
          group.add(call);
        }
        group.run();
      }
      sum(losses, m.loss_floats);
      for (size_t l = 1; l < lanes; ++l) std::fill_n(losses[l].get(), m.loss_floats, 0.0f);
    }
  }
  /// The numbers of a micro-batch: losses and, of an evaluation, what is watched.
  std::vector<NamedTensor> numbers(const std::vector<AlignedFloats>& losses, bool evaluation) {
    call.losses = losses[0].get();
    call.out = terms.get();
    (evaluation ? exe.eval_terms : exe.loss_terms)(&call);
    const std::string prefix = evaluation ? "eval." : "";
    std::vector<NamedTensor> out;
    for (const std::string& name : m.losses) out.push_back({prefix + "loss." + name, {1}, {terms.get()[out.size()]}});
    if (!evaluation) return out;
    for (const std::string& name : m.watch) out.push_back({prefix + "watch." + name, {1}, {terms.get()[out.size()]}});
    return out;
  }

  const codegen::Executable& exe;
  const codegen::Manifest& m;
  size_t lanes;
  AlignedFloats params, shared, terms;
  cpuflow_call call{};
};

/// Logits of all sequences, `step` positions a call.
NamedTensor logits_in_steps(Run& run, const PassInputs& inputs, int64_t step) {
  const codegen::Manifest& m = run.m;
  NamedTensor logits{"logits", {inputs.B, m.T, m.V}, {}};
  logits.values.reserve(static_cast<size_t>(inputs.B * m.T * m.V));
  const AlignedFloats rows(static_cast<uint64_t>(step * m.V));
  for (int64_t b = 0; b < inputs.B; ++b) {
    const AlignedFloats state(std::max(m.rows_lane_floats, m.lane_floats));
    run.take_sequence(inputs, b);
    run.call.lane = state.get();
    run.call.streams = 1;
    run.call.out = rows.get();
    for (int64_t first = 0; first < m.T; first += step) {
      run.call.first = static_cast<int32_t>(first);
      run.call.last = static_cast<int32_t>(std::min(m.T, first + step));
      run.exe.rows(&run.call);
      logits.values.insert(logits.values.end(), rows.get(), rows.get() + (run.call.last - run.call.first) * m.V);
    }
  }
  return logits;
}

/// `tensor` with the axes `wanted`, in this order; it is the same along those that it lacks.
std::vector<double> laid_out(const ir::Tensor& tensor, const ir::Axes& wanted) {
  std::vector<double> out(ir::element_count(wanted));
  std::vector<size_t> strides(wanted.size(), 0);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const int at = ir::index_of(tensor.axes, wanted[i]);
    if (at < 0) continue;
    strides[i] = 1;
    for (size_t j = static_cast<size_t>(at) + 1; j < tensor.axes.size(); ++j) strides[i] *= tensor.axes[j].size;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    size_t rest = i, from = 0;
    for (size_t a = wanted.size(); a-- > 0;) {
      from += rest % wanted[a].size * strides[a];
      rest /= wanted[a].size;
    }
    out[i] = tensor.data[from];
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> settings_from_file(const rt::SafetensorsFile& file, const std::string& model) {
  const rt::TensorInfo& tokens = file.info("tokens");
  if (tokens.shape.size() != 2) {
    throw InputError(fmt::format("{}: tensor 'tokens': expected shape [B, T], found {}", file.path(), rt::shape_text(tokens.shape)));
  }
  nlohmann::json config = nlohmann::json::object();
  if (const auto it = file.metadata().find("config"); it != file.metadata().end()) {
    try {
      config = rt::parse_strict_json(it->second);
    } catch (const std::runtime_error&) {
      config = nullptr;
    }
    if (!config.is_object())
      throw InputError(fmt::format("{}: metadata 'config': expected a JSON object of sizes, found '{}'", file.path(), it->second));
  }
  config["B"] = tokens.shape[0];
  config["T"] = tokens.shape[1];
  ir::Diagnostics diagnostics;
  const std::string path = frontend::find_model(model);
  const frontend::ModelFile parsed =
      frontend::read_model_file(std::make_shared<ir::SourceText>(ir::SourceText{path, rt::read_file(path)}), false, diagnostics);
  diagnostics.stop_if_errors();
  std::map<std::string, std::string> settings;
  for (const frontend::SizeEntry& size : parsed.sizes) {
    if (config.contains(size.name)) settings[size.name] = config[size.name].dump();
  }
  if (!settings.contains("B") && tokens.shape[0] != 1) {
    throw InputError(fmt::format("{}: holds {} sequences, but {} has no size B; add `B = {}` to [dims]", file.path(), tokens.shape[0], path,
                                 tokens.shape[0]));
  }
  return settings;
}

PassInputs read_pass_inputs(const rt::SafetensorsFile& file, const codegen::Manifest& m, const rt::TensorFile* weights) {
  PassInputs inputs;
  inputs.B = m.B;
  inputs.T = m.T;
  const std::vector<int64_t> shape{m.B, m.T};
  for (auto [name, ids] : {std::pair{"tokens", &inputs.tokens}, {"targets", &inputs.targets}}) {
    file.expect(name, shape);
    *ids = file.int32s(name);
    for (size_t i = 0; i < ids->size(); ++i) {
      const int32_t id = (*ids)[i];
      if (id >= 0 && id < m.V) continue;
      throw InputError(fmt::format("{}: {}[{}, {}] is {}, which is not an id of this model: V = {}", file.path(), name,
                                   i / static_cast<size_t>(m.T), i % static_cast<size_t>(m.T), id, m.V));
    }
  }
  if (weights) {
    std::vector<float> values(m.param_floats);
    std::string left;
    rt::load_params(*weights, m, values.data(), &left);
    if (!left.empty()) warn(left);
    for (const codegen::ParamInfo& p : m.params) inputs.params[p.name].assign(values.begin() + static_cast<ptrdiff_t>(p.offset), values.begin() + static_cast<ptrdiff_t>(p.offset + p.count));
    return inputs;
  }
  for (const codegen::ParamInfo& p : m.params) {
    file.expect("param." + p.name, p.shape);
    inputs.params[p.name] = file.floats("param." + p.name);
  }
  return inputs;
}

std::vector<NamedTensor> run_compiled(const codegen::Executable& exe, const PassInputs& inputs) {
  Run run(exe, inputs);
  const codegen::Manifest& m = exe.manifest;
  std::vector<NamedTensor> out{logits_in_steps(run, inputs, m.T)};
  const std::vector<AlignedFloats> lane = run.lane_buffers(m.scratch_floats(m.together)), grads = run.lane_buffers(m.grad_floats),
                                   losses = run.lane_buffers(m.loss_floats);
  run.sequences(exe.train_sequence, inputs, lane, losses, &grads);
  Run::sum(grads, m.grad_floats);
  run.call.grads = grads[0].get();
  exe.finish(&run.call);
  for (NamedTensor& loss : run.numbers(losses, false)) out.push_back(std::move(loss));
  for (const codegen::ParamInfo& p : m.params) {
    const float* values = grads[0].get() + p.offset;
    out.push_back({"grad." + p.name, p.shape, std::vector<double>(values, values + p.count)});
  }
  return out;
}

std::vector<NamedTensor> run_other_schedules(const codegen::Executable& exe, const PassInputs& inputs) {
  Run run(exe, inputs);
  const codegen::Manifest& m = exe.manifest;
  const std::vector<AlignedFloats> lane = run.lane_buffers(m.scratch_floats(m.together)), losses = run.lane_buffers(m.loss_floats);
  run.sequences(exe.eval_sequence, inputs, lane, losses, nullptr);
  std::vector<NamedTensor> out = run.numbers(losses, true);
  if (m.causal) out.push_back(logits_in_steps(run, inputs, 1));
  return out;
}

InterpreterInputs interpreter_inputs(const ir::Graph& graph, const PassInputs& inputs) {
  InterpreterInputs out;
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const ir::Node& node = graph[id];
    if (node.op != ir::Op::Param && node.op != ir::Op::Input) continue;
    ir::Tensor tensor;
    tensor.axes = node.axes;
    if (node.op == ir::Op::Input) {
      const std::vector<int32_t>& source = node.text == "tokens" ? inputs.tokens : inputs.targets;
      tensor.data.assign(source.begin(), source.end());
      out.ids[node.text] = std::move(tensor);
      continue;
    }
    for (const std::string& name : ir::checkpoint_names(node)) {
      const std::vector<float>& values = inputs.params.at(name);
      tensor.data.insert(tensor.data.end(), values.begin(), values.end());
    }
    out.params[node.text] = std::move(tensor);
  }
  return out;
}

std::vector<NamedTensor> run_interpreter(const CompiledModel& model, const PassInputs& inputs) {
  const codegen::Manifest& m = model.exe.manifest;
  const ir::Graph graph = passes::differentiate(model.parsed);
  const InterpreterInputs given = interpreter_inputs(graph, inputs);
  std::map<std::string, const ir::Node*> nodes;  // param nodes by their text
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    if (graph[id].op == ir::Op::Param) nodes[graph[id].text] = &graph[id];
  }
  const std::map<std::string, ir::Tensor> values = ir::interpret(graph, given.params, given.ids);

  std::vector<NamedTensor> out;
  std::map<std::string, std::vector<double>> grads;
  for (const ir::Output& output : graph.outputs) {
    const ir::Tensor& value = values.at(output.name);
    if (output.name == "logits") {
      ir::Axes wanted;
      for (const ir::AxisKind kind : {ir::AxisKind::Batch, ir::AxisKind::Position, ir::AxisKind::Feature}) {
        for (const ir::Axis& axis : value.axes) {
          if (axis.kind == kind) wanted.push_back(axis);
        }
      }
      NamedTensor logits{"logits", {m.B, m.T, m.V}, laid_out(value, wanted)};
      if (logits.values.size() == static_cast<size_t>(m.B * m.T * m.V)) out.push_back(std::move(logits));
    } else if (output.name.starts_with("loss.") || output.name.starts_with("watch.") || output.name.starts_with("eval.")) {
      out.push_back({output.name, {1}, value.data});
    } else if (output.name.starts_with("grad.")) {
      const ir::Node& node = *nodes.at(output.name.substr(5));
      const std::vector<double> all = laid_out(value, node.axes);
      const std::vector<std::string> names = ir::checkpoint_names(node);
      const size_t each = all.size() / names.size();
      for (size_t l = 0; l < names.size(); ++l)
        grads[names[l]].assign(all.begin() + static_cast<ptrdiff_t>(l * each), all.begin() + static_cast<ptrdiff_t>((l + 1) * each));
    }
  }
  for (const codegen::ParamInfo& p : m.params) {
    std::vector<double>& grad = grads[p.name];
    grad.resize(p.count, 0.0);  // no loss depends on it
    out.push_back({"grad." + p.name, p.shape, std::move(grad)});
  }
  return out;
}

}  // namespace cpuflow::cli
