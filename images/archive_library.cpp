#include "images/archive_library.hpp"

#include <dlfcn.h>

namespace images {
namespace {

struct Loaded {
  ArchiveLibrary calls;
  std::string trouble;
};

Loaded load() {
  Loaded loaded;
  void* library = ::dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    loaded.trouble = "archives can not be read without libarchive.so.13 (Debian: libarchive13)";
    return loaded;
  }
#define UNI_LOOK_UP(name)                                                           \
  loaded.calls.name = reinterpret_cast<decltype(&::name)>(::dlsym(library, #name)); \
  if (!loaded.calls.name) loaded.trouble = "libarchive.so.13 has no " #name;
  UNI_ARCHIVE_CALLS(UNI_LOOK_UP)
#undef UNI_LOOK_UP
  return loaded;
}

}  // namespace

base::Checked<const ArchiveLibrary*> archive_library() {
  static const Loaded loaded = load();
  if (!loaded.trouble.empty()) return base::refuse(loaded.trouble);
  return &loaded.calls;
}

}  // namespace images
