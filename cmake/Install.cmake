# cmake --install, and find_package(fathom): see cmake/fathomConfig.cmake.in.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/fathom)

install(DIRECTORY include/fathom DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h"
        PATTERN internal EXCLUDE)
install(TARGETS fathom_core EXPORT fathomCoreTargets)
install(TARGETS fathom EXPORT fathomTargets)
install(EXPORT fathomCoreTargets NAMESPACE fathom:: DESTINATION ${package_folder})
install(EXPORT fathomTargets NAMESPACE fathom:: DESTINATION ${package_folder})
install(TARGETS train-llm)

configure_package_config_file(cmake/fathomConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/fathomConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/fathomConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fathomConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/fathomConfigVersion.cmake
              cmake/LibTorch.cmake cmake/Dependencies.cmake
        DESTINATION ${package_folder})
