# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What `cmake --install` puts below the prefix:
#
#   bin             the tools; weirc finds the runtime in ../lib
#   lib             static libraries, libweir_runtime.a among them
#   lib/cmake/Weir  for find_package(Weir)
#   include         public headers, with those that TableGen made and the .td files
#   share           documentation and examples
#
# Every library belongs to a component of the package, which brings what the
# component needs and no more:
#
#   Schedule         schedules: plain C++
#   ScheduleDriver   their files and weir-schedule: LLVM
#   Runtime          what trained programs link: oneDNN
#   Compiler         all else: MLIR, and the other components

include(CMakePackageConfigHelpers)
set(WEIR_COMPONENTS Schedule ScheduleDriver Runtime Compiler)
set(WEIR_PACKAGE_DIR lib/cmake/Weir)

# Installs a library, as Weir::<exported> of a component.
function(weir_install_library name component exported)
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${exported})
  install(TARGETS ${name} EXPORT Weir${component}Targets
    ARCHIVE DESTINATION lib)
endfunction()

function(weir_install_package)
  foreach(component ${WEIR_COMPONENTS})
    install(EXPORT Weir${component}Targets NAMESPACE Weir::
      DESTINATION ${WEIR_PACKAGE_DIR})
  endforeach()
  configure_package_config_file(
    ${WEIR_SOURCE_DIR}/cmake/WeirConfig.cmake.in
    ${WEIR_BINARY_DIR}/WeirConfig.cmake
    INSTALL_DESTINATION ${WEIR_PACKAGE_DIR})
  write_basic_package_version_file(${WEIR_BINARY_DIR}/WeirConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${WEIR_BINARY_DIR}/WeirConfig.cmake
    ${WEIR_BINARY_DIR}/WeirConfigVersion.cmake
    DESTINATION ${WEIR_PACKAGE_DIR})
  install(DIRECTORY ${WEIR_SOURCE_DIR}/include/weir
    ${WEIR_SOURCE_DIR}/runtime/include/weir
    DESTINATION include FILES_MATCHING PATTERN "*.h" PATTERN "*.td"
    # The emulated device is for the tests of this tree.
    PATTERN "Emulated.h" EXCLUDE)
  install(DIRECTORY ${WEIR_BINARY_DIR}/include/weir DESTINATION include
    FILES_MATCHING PATTERN "*.inc" PATTERN CMakeFiles EXCLUDE)
  install(FILES ${WEIR_SOURCE_DIR}/LICENSE ${WEIR_SOURCE_DIR}/README.md
    DESTINATION share/doc/weir)
  install(DIRECTORY ${WEIR_SOURCE_DIR}/docs DESTINATION share/doc/weir
    FILES_MATCHING PATTERN "*.md" PATTERN "*.svg" PATTERN "*.json")
  install(DIRECTORY ${WEIR_SOURCE_DIR}/examples DESTINATION share/weir)
endfunction()
