# What libfathom_cuda.so is made of: LibTorch's CUDA libraries and NVIDIA's headers, both of PyPI's wheels, and where there
# is one, an nvcc for Fathom's own kernels. No toolkit is needed.
#
# Sets FATHOM_CUDA (whether the library is built) with FATHOM_CUDA_INCLUDES and FATHOM_CUDART, and FATHOM_CUDA_KERNELS
# (whether nvcc is there). What is missing is said in the line that begins with "GPU:".
set(FATHOM_CUDA OFF)
set(FATHOM_CUDA_KERNELS OFF)
if(NOT FATHOM_TORCH_CUDA)
  message(STATUS "GPU: none, this LibTorch has no CUDA kernels")
  return()
endif()

file(GLOB wheel "${FATHOM_TORCH_ROOT}/../nvidia/cu[0-9]*")
# Looked for anew each time: they belong to the LibTorch at hand.
foreach(name FATHOM_CUDA_HEADERS FATHOM_NCCL_HEADERS FATHOM_CUDA_CRT_HEADERS FATHOM_CUDA_CCCL_HEADERS)
  unset(${name} CACHE)
endforeach()
find_path(FATHOM_CUDA_HEADERS cuda_runtime_api.h PATHS "${wheel}/include" NO_DEFAULT_PATH NO_CACHE)
find_path(FATHOM_NCCL_HEADERS nccl.h PATHS "${FATHOM_TORCH_ROOT}/../nvidia/nccl/include" NO_DEFAULT_PATH NO_CACHE)
file(GLOB FATHOM_CUDART "${wheel}/lib/libcudart.so.*")
if(FATHOM_CUDART AND NOT FATHOM_NCCL_HEADERS)
  message(STATUS "GPU: none; libfathom_cuda.so is left out, as LibTorch has no NCCL beside it. A set-up for CPUs alone "
                 "(scripts/setup.sh --cpu) is that; scripts/setup.sh --cuda brings it")
  return()
endif()
if(NOT FATHOM_CUDA_HEADERS OR NOT FATHOM_NCCL_HEADERS OR NOT FATHOM_CUDART)
  message(STATUS "GPU: LibTorch's operations alone; libfathom_cuda.so is left out, as this LibTorch isn't PyPI's wheel with "
                 "NVIDIA's headers beside it")
  return()
endif()
file(STRINGS "${FATHOM_CUDA_HEADERS}/cuda.h" cuda_version REGEX "^#define CUDA_VERSION ")
string(REGEX REPLACE ".* ([0-9]+)[0-9][0-9][0-9]$" "\\1" cuda_major "${cuda_version}")

# The first nvcc of LibTorch's major version: on PATH, a toolkit's, or that of scripts/setup.sh --nvcc.
find_program(nvcc_on_path nvcc NO_CACHE)
set(FATHOM_NVCC "" CACHE FILEPATH "The CUDA compiler; empty: the first on PATH, in /usr/local/cuda or in .venv")
set(candidates "${FATHOM_NVCC}")
if(NOT FATHOM_NVCC)
  set(candidates "${nvcc_on_path}" /usr/local/cuda/bin/nvcc "${wheel}/bin/nvcc")
endif()
foreach(nvcc IN LISTS candidates)
  if(EXISTS "${nvcc}" AND NOT found_nvcc)
    execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
    if(nvcc_version MATCHES "release ${cuda_major}\\.")
      set(found_nvcc "${nvcc}")
    endif()
  endif()
endforeach()

if(FATHOM_NVCC AND NOT found_nvcc)
  message(FATAL_ERROR "FATHOM_NVCC is '${FATHOM_NVCC}', which is no nvcc of CUDA ${cuda_major}, that of this LibTorch: pass "
                      "one, or leave it empty")
endif()

# NVIDIA's wheel of the runtime needs headers of two others, which scripts/setup.sh brings, or of a toolkit.
get_filename_component(toolkit "${found_nvcc}" REALPATH)
get_filename_component(toolkit "${toolkit}" DIRECTORY)
find_path(FATHOM_CUDA_CRT_HEADERS crt/host_defines.h PATHS "${FATHOM_CUDA_HEADERS}" "${toolkit}/../include"
          NO_DEFAULT_PATH NO_CACHE)
find_path(FATHOM_CUDA_CCCL_HEADERS nv/target PATHS "${FATHOM_CUDA_HEADERS}" "${FATHOM_CUDA_HEADERS}/cccl"
          "${toolkit}/../include/cccl" "${toolkit}/../include" NO_DEFAULT_PATH NO_CACHE)
if(NOT FATHOM_CUDA_CRT_HEADERS OR NOT FATHOM_CUDA_CCCL_HEADERS)
  message(STATUS "GPU: LibTorch's operations alone; libfathom_cuda.so is left out, as crt/host_defines.h or nv/target is "
                 "missing: scripts/setup.sh brings them")
  return()
endif()
set(FATHOM_CUDA ON)
set(FATHOM_CUDA_INCLUDES "${FATHOM_CUDA_HEADERS}" "${FATHOM_NCCL_HEADERS}" "${FATHOM_CUDA_CRT_HEADERS}"
    "${FATHOM_CUDA_CCCL_HEADERS}")

if(NOT found_nvcc)
  message(STATUS "GPU: libfathom_cuda.so without kernels of Fathom's own: there is no nvcc ${cuda_major} "
                 "(scripts/setup.sh --nvcc installs one)")
  return()
endif()
set(CMAKE_CUDA_ARCHITECTURES 80 90 CACHE STRING "GPUs that Fathom's own kernels are compiled for")
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE) # one that failed before is tried again
  set(ENV{CUDACXX} "${found_nvcc}")
  if(NOT EXISTS "${toolkit}/../lib64") # PyPI's nvcc links with that folder, but has lib
    set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} -L${toolkit}/../lib")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
endif()
if(NOT CMAKE_CUDA_COMPILER)
  message(STATUS "GPU: libfathom_cuda.so without kernels of Fathom's own: ${found_nvcc} can't compile a program here (a host "
                 "compiler that it doesn't know? set CUDAHOSTCXX)")
elseif(NOT CMAKE_CUDA_COMPILER_VERSION MATCHES "^${cuda_major}\\.")
  message(STATUS "GPU: libfathom_cuda.so without kernels of Fathom's own: CMAKE_CUDA_COMPILER is of CUDA "
                 "${CMAKE_CUDA_COMPILER_VERSION}, this LibTorch of ${cuda_major}")
elseif("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
  set(FATHOM_CUDA_KERNELS ON)
  string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
  message(STATUS "GPU: libfathom_cuda.so with Fathom's own kernels for ${architectures}, by ${CMAKE_CUDA_COMPILER} "
                 "${CMAKE_CUDA_COMPILER_VERSION}")
else()
  message(STATUS "GPU: libfathom_cuda.so without kernels of Fathom's own: CMake ${CMAKE_VERSION} can't compile C++20 with "
                 "${found_nvcc} (that of scripts/setup.sh can)")
endif()
