// Runs a model directory for tests/oracles/families_oracle.py.
//
//   families_tool DIR IN.safetensors OUT.safetensors
//
// IN: "input" int64 [B, T]. OUT: "logits" float32 [B, T, V].
#include <cstring>
#include <iostream>

#include "fathom/hugging_face/model_files.h"
#include "fathom/io/safetensors.h"
#include "fathom/run/choices.h"

namespace fathom {
namespace {

void run(const std::string& directory, const std::string& in, const std::string& out) {
  const torch::NoGradGuard no_grad;
  Llama model = load_model(directory, torch::kCPU, torch::kFloat32, config_choices());
  const SafetensorsFile file(in);
  const SafetensorsFile::Tensor& stored = file.at("input");
  torch::Tensor input = torch::empty(stored.shape, torch::kInt64);
  std::memcpy(input.data_ptr(), stored.bytes.data(), stored.bytes.size());
  const torch::Tensor logits = model->logits(model->hidden(input)).contiguous();
  SafetensorsWriter writer(out, {{"logits", TensorType::kF32, logits.sizes().vec()}});
  writer.write("logits", {static_cast<const std::byte*>(logits.data_ptr()), logits.nbytes()});
  writer.publish();
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: families_tool DIR IN.safetensors OUT.safetensors\n";
    return 2;
  }
  try {
    fathom::run(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
