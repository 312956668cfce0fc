# cmake -DOUTPUT=x.cc -DDIRECTORY=configs -P EmbedConfigs.cmake: writes a source file that holds the YAML files of a folder.
file(GLOB paths "${DIRECTORY}/*.yaml")
set(rows "")
foreach(path IN LISTS paths)
  get_filename_component(name "${path}" NAME)
  file(READ "${path}" text)
  string(APPEND rows "    {\"${name}\", R\"fathom(${text})fathom\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "// Made from configs/*.yaml by cmake/EmbedConfigs.cmake.
#include \"config/embedded.h\"

namespace fathom {
namespace {

constexpr EmbeddedFile kFiles[] = {
${rows}};

}  // namespace

std::span<const EmbeddedFile> embedded_configs() { return kFiles; }

}  // namespace fathom
")
