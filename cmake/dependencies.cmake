# What each library needs beyond our own code. All of it is Debian's.
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)

function(uni_needs folder)
  get_target_property(kind uni_${folder} TYPE)
  if(kind STREQUAL "INTERFACE_LIBRARY")
    return()
  endif()
  target_link_libraries(uni_${folder} PRIVATE ${ARGN})
endfunction()

uni_needs(base spdlog::spdlog fmt::fmt)
# libarchive is opened when an archive is read (images/archive_library.cpp); only its header is needed.
uni_needs(images nlohmann_json::nlohmann_json PkgConfig::YAML ${CMAKE_DL_LIBS})
target_include_directories(uni_images PRIVATE ${LIBARCHIVE_INCLUDE_DIRS})
# Debian's libseccomp writes the filters; the notifications are read by our own code.
uni_needs(seccomp PkgConfig::SECCOMP nlohmann_json::nlohmann_json)
uni_needs(config tomlplusplus::tomlplusplus)
uni_needs(runtime nlohmann_json::nlohmann_json)
uni_needs(daemon PkgConfig::FUSE3 fmt::fmt nlohmann_json::nlohmann_json)
uni_needs(cli CLI11::CLI11 nlohmann_json::nlohmann_json PkgConfig::FUSE3 PkgConfig::LIBURING)
target_compile_definitions(uni_daemon PRIVATE UNI_VERSION="${PROJECT_VERSION}")
target_compile_definitions(uni_cli PRIVATE UNI_VERSION="${PROJECT_VERSION}"
                           UNI_LIBURING_VERSION="${LIBURING_VERSION}")
uni_embed(cli embedded_units.hpp kServiceUnit systemd/usernetes-identity.service.in
          kSocketUnit systemd/usernetes-identity.socket.in)
