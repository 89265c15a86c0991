// How layers become one tree, without a mount.
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include "tests/fusefs/rig.hpp"

namespace fusefs_test {
namespace {

class MergeTest : public testing::Test {
 protected:
  void dir(const std::string& path) { ASSERT_EQ(::mkdir(path.c_str(), 0755), 0) << path; }
  void file(const std::string& path, std::string_view text = "x") { write_file(path, text); }
  void whiteout(const std::string& path) {
    ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, makedev(0, 0)), 0) << path;
  }
  void mark(const std::string& path, const char* key, std::string_view value) {
    ASSERT_EQ(::lsetxattr(path.c_str(), key, value.data(), value.size(), 0), 0) << path;
  }
  void open(fusefs::OverlayOptions options = {}, bool writable = true) {
    fs = overlay(layers, *reactor, options, writable);
    ASSERT_TRUE(fs);
  }
  Node* at(std::string_view path) {
    Node* node = fs->nodes().root();
    while (!path.empty()) {
      std::size_t end = std::min(path.find('/'), path.size());
      auto entry = fs->lookup(node, path.substr(0, end));
      if (!entry) return nullptr;
      node = entry->node;
      path.remove_prefix(std::min(end + 1, path.size()));
    }
    return node;
  }
  /// The names of a merged directory, or "<none>".
  std::string names(std::string_view path) {
    Node* node = at(path);
    if (!node) return "<none>";
    auto listing = fs->list(node);
    if (!listing) return "<error>";
    std::set<std::string> sorted;
    for (std::size_t i = 0; i < (*listing)->size(); ++i) {
      std::string name((*listing)->name((*listing)->item(i)));
      if (!sorted.insert(name).second) return "twice: " + name;
      if (!fs->lookup(node, name)) return "listed and not found: " + name;
    }
    std::string all;
    for (const auto& name : sorted) all += name + " ";
    return all;
  }
  Layers layers{3};
  std::unique_ptr<ring::Reactor> reactor = std::move(*ring::Reactor::make());
  std::unique_ptr<fusefs::Overlay> fs;
};

TEST_F(MergeTest, EachNameOnceUpperFirst) {
  for (const auto& layer : {layers.upper(), layers.lower(0), layers.lower(1)}) {
    dir(layer + "/d");
    file(layer + "/d/same", layer);
  }
  file(layers.upper() + "/d/up");
  file(layers.lower(0) + "/d/low0");
  file(layers.lower(1) + "/d/low1");
  open();
  EXPECT_EQ(names("d"), "low0 low1 same up ");
  EXPECT_EQ(at("d/same")->layer, 0);
  EXPECT_EQ(at("d/low1")->layer, 2);
}

TEST_F(MergeTest, WhiteoutsOfEveryForm) {
  for (const char* name : {"/a", "/b", "/c", "/d"}) file(layers.lower(1) + name);
  whiteout(layers.lower(0) + "/a");
  file(layers.lower(0) + "/.wh.b");
  file(layers.lower(0) + "/c");
  file(layers.lower(0) + "/.wh.c");  // hides what is below, not what is beside it
  whiteout(layers.upper() + "/d");
  open();
  EXPECT_EQ(names(""), "c ");
  EXPECT_EQ(at("c")->layer, 1);
}

TEST_F(MergeTest, MiddleWhiteoutEndsADirectory) {
  dir(layers.upper() + "/d");
  file(layers.upper() + "/d/up");
  whiteout(layers.lower(0) + "/d");
  dir(layers.lower(1) + "/d");
  file(layers.lower(1) + "/d/low");
  open();
  EXPECT_EQ(names("d"), "up ");
}

TEST_F(MergeTest, FileInTheMiddleEndsADirectory) {
  dir(layers.upper() + "/d");
  file(layers.lower(0) + "/d");
  dir(layers.lower(1) + "/d");
  file(layers.lower(1) + "/d/low");
  open();
  EXPECT_EQ(names("d"), "");
}

TEST_F(MergeTest, OpaqueDirectoriesOfEveryForm) {
  int number = 0;
  const std::pair<const char*, const char*> forms[] = {{"trusted.overlay.opaque", "y"},
                                                       {"user.overlay.opaque", "y"},
                                                       {"user.fuseoverlayfs.opaque", "y"},
                                                       {"user.overlay.opaque", "n"},
                                                       {nullptr, nullptr}};
  for (const auto& [key, value] : forms) {
    const std::string name = "/d" + std::to_string(number++);
    for (const auto& layer : {layers.lower(0), layers.lower(1), layers.lower(2)}) {
      dir(layer + name);
      file(layer + name + "/in-" + layer.back());
    }
    if (key)
      mark(layers.lower(1) + name, key, value);
    else
      file(layers.lower(1) + name + "/.wh..wh..opq");
  }
  open();
  for (const char* opaque : {"d0", "d1", "d2", "d4"})
    EXPECT_EQ(names(opaque), "in-0 in-1 ") << opaque;
  EXPECT_EQ(names("d3"), "in-0 in-1 in-2 ");
}

TEST_F(MergeTest, RedirectsInAChain) {
  dir(layers.lower(0) + "/c");
  file(layers.lower(0) + "/c/top");
  mark(layers.lower(0) + "/c", "user.overlay.redirect", "/deep/b");
  dir(layers.lower(1) + "/deep");
  dir(layers.lower(1) + "/deep/b");
  file(layers.lower(1) + "/deep/b/middle");
  mark(layers.lower(1) + "/deep/b", "user.overlay.redirect", "a");  // beside it: relative
  for (const char* name : {"/deep", "/deep/a", "/deep/b", "/c"}) dir(layers.lower(2) + name);
  file(layers.lower(2) + "/deep/a/bottom");
  file(layers.lower(2) + "/deep/b/wrong");
  file(layers.lower(2) + "/c/wrong");
  open();
  EXPECT_EQ(names("c"), "bottom middle top ");
  fusefs::OverlayOptions deaf;
  deaf.redirect_follow = false;
  open(deaf);
  EXPECT_EQ(names("c"), "top wrong ");
}

TEST_F(MergeTest, RelativeRedirectBesideTheDirectory) {
  dir(layers.lower(0) + "/p");
  dir(layers.lower(0) + "/p/new");
  mark(layers.lower(0) + "/p/new", "trusted.overlay.redirect", "old");
  for (const char* name : {"/p", "/p/old", "/p/old/sub"}) dir(layers.lower(1) + name);
  file(layers.lower(1) + "/p/old/f");
  open();
  EXPECT_EQ(names("p/new"), "f sub ");
  EXPECT_EQ(names("p/new/sub"), "");
}

TEST_F(MergeTest, InternalNamesDoNotExist) {
  for (const char* name : {"/.wh.x", "/.wh..wh..opq", "/.wh..wh.un.y", "/.wh..wh.plnk"})
    file(layers.lower(0) + name);
  open();
  EXPECT_EQ(names(""), "");
  for (const char* name : {".wh.x", ".wh..wh..opq", ".wh..wh.un.y", ".wh..wh.plnk", ".wh."})
    EXPECT_EQ(at(name), nullptr) << name;
}

TEST_F(MergeTest, NamesThatAreNoNames) {
  dir(layers.lower(0) + "/d");
  open();
  auto error = [&](std::string_view name) {
    auto entry = fs->lookup(fs->nodes().root(), name);
    return entry ? 0 : entry.error().value;
  };
  for (const char* name : {"", ".", "..", "a/b", "/", "d/.."})
    EXPECT_EQ(error(name), EINVAL) << name;
  EXPECT_EQ(error(std::string(256, 'n')), ENAMETOOLONG);
  EXPECT_EQ(error(std::string(255, 'n')), ENOENT);
  EXPECT_EQ(error(".wh.d"), ENOENT);
}

TEST_F(MergeTest, ManyWhiteoutsAreProbed) {
  for (int i = 0; i < 5000; ++i) file(layers.lower(0) + "/f" + std::to_string(i), "");
  file(layers.lower(0) + "/.wh.hidden");
  file(layers.lower(1) + "/hidden");
  file(layers.lower(1) + "/seen");
  open();
  EXPECT_EQ(at("hidden"), nullptr);
  EXPECT_NE(at("seen"), nullptr);
}

TEST_F(MergeTest, WithoutAnUpperNothingIsWritten) {
  file(layers.lower(0) + "/f");
  open({}, false);
  Node* f = at("f");
  ASSERT_TRUE(f);
  EXPECT_FALSE(fs->in_upper(f));
  EXPECT_EQ(fs->unlink(fs->nodes().root(), "f").error().value, EROFS);
  auto made =
      fs->create(fs->nodes().root(), "g", {.mode = S_IFREG | 0644, .target = {}}, {}, nullptr);
  EXPECT_EQ(made.error().value, EROFS);
}

}  // namespace
}  // namespace fusefs_test
