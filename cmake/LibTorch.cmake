# Makes the imported target fathom::torch from the headers and libraries of a PyPI wheel (or a libtorch archive) of
# PyTorch. Used by Fathom's own build and, installed, by fathomConfig.cmake.
#
# find_package(Torch) is not used: the file in a CUDA wheel fails without a CUDA toolkit, and under CMake 3.25 without
# TORCH_CUDA_ARCH_LIST. Looked for in this order: Torch_DIR, CMAKE_PREFIX_PATH, FATHOM_TORCH_HINTS (folders named
# torch), `python3 -c "import torch"`.
#
# Only the CPU library is linked; Fathom loads libtorch_cuda when a run asks for a GPU, so that CPU runs start fast.
# Sets FATHOM_TORCH_ROOT, FATHOM_TORCH_VERSION and FATHOM_TORCH_CUDA (whether LibTorch has CUDA kernels).

function(fathom_find_torch result)
  set(header include/torch/headeronly/version.h)
  if(Torch_DIR) # <torch>/share/cmake/Torch
    if(NOT EXISTS "${Torch_DIR}/../../../${header}")
      message(FATAL_ERROR "Torch_DIR is '${Torch_DIR}', but there is no ${header} three folders above it: "
                          "pass <torch>/share/cmake/Torch of LibTorch 2.11 or later")
    endif()
    set(candidates "${Torch_DIR}/../../..")
  else()
    set(candidates)
    foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
      list(APPEND candidates "${prefix}" "${prefix}/../..")
    endforeach()
    list(APPEND candidates ${FATHOM_TORCH_HINTS})
  endif()
  foreach(candidate IN LISTS candidates)
    if(EXISTS "${candidate}/${header}")
      get_filename_component(found "${candidate}" REALPATH)
      set(${result} "${found}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  execute_process(
    COMMAND python3 -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(found AND EXISTS "${found}/${header}")
    set(${result} "${found}" PARENT_SCOPE)
    return()
  endif()
  message(FATAL_ERROR "LibTorch 2.11 or later was not found. Run scripts/setup.sh, which installs it into .venv, "
                      "or pass -DTorch_DIR=<torch>/share/cmake/Torch")
endfunction()

fathom_find_torch(FATHOM_TORCH_ROOT)
set(version_header "${FATHOM_TORCH_ROOT}/include/torch/headeronly/version.h")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${version_header}") # another wheel: configure again
file(STRINGS "${version_header}" FATHOM_TORCH_VERSION REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9;]" "" FATHOM_TORCH_VERSION "${FATHOM_TORCH_VERSION}")
string(REPLACE ";" "." FATHOM_TORCH_VERSION "${FATHOM_TORCH_VERSION}")
if(FATHOM_TORCH_VERSION VERSION_LESS 2.11 OR FATHOM_TORCH_VERSION VERSION_GREATER_EQUAL 2.16)
  message(WARNING "LibTorch ${FATHOM_TORCH_VERSION} was never tried with Fathom; 2.11 to 2.15 are known to work")
endif()
if(EXISTS "${FATHOM_TORCH_ROOT}/lib/libtorch_cuda.so")
  set(FATHOM_TORCH_CUDA ON)
else()
  set(FATHOM_TORCH_CUDA OFF)
endif()

if(NOT TARGET fathom::torch)
  add_library(fathom::torch INTERFACE IMPORTED GLOBAL)
  target_include_directories(fathom::torch INTERFACE
    "${FATHOM_TORCH_ROOT}/include" "${FATHOM_TORCH_ROOT}/include/torch/csrc/api/include")
  target_link_libraries(fathom::torch INTERFACE
    "${FATHOM_TORCH_ROOT}/lib/libtorch_cpu.so" "${FATHOM_TORCH_ROOT}/lib/libc10.so")

  # The wheel's own NVIDIA libraries come before the system's, which are often older. RPATH and not RUNPATH: it reaches
  # the libraries that LibTorch loads, and LD_LIBRARY_PATH can't put another LibTorch in its place.
  file(GLOB library_folders "${FATHOM_TORCH_ROOT}/../nvidia/*/lib")
  list(APPEND library_folders "${FATHOM_TORCH_ROOT}/lib")
  target_link_options(fathom::torch INTERFACE "LINKER:--disable-new-dtags")
  foreach(folder IN LISTS library_folders)
    get_filename_component(folder "${folder}" REALPATH)
    target_link_options(fathom::torch INTERFACE "LINKER:-rpath,${folder}" "LINKER:-rpath-link,${folder}")
  endforeach()

  # at::parallel_for is a template that runs on one thread where OpenMP is off. GCC's OpenMP code runs on the libgomp
  # that LibTorch brings; Clang's needs libomp, which would be a second runtime with threads of its own.
  file(GLOB gomp "${FATHOM_TORCH_ROOT}/lib/libgomp*.so*")
  if(gomp)
    target_compile_options(fathom::torch INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fopenmp>")
    target_link_libraries(fathom::torch INTERFACE ${gomp})
  endif()
endif()
