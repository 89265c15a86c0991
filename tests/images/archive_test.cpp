#include "images/archive.hpp"

#include <gmock/gmock.h>

#include "images/files.hpp"
#include "tests/images/archives.hpp"
#include "tests/images/tree.hpp"

namespace {

using archives::Item;
using images::Id;
using images::Image;
using images::ReadOptions;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;

class ArchiveTest : public testing::Test {
 protected:
  base::Checked<Image> read(const std::string& bytes, const ReadOptions& options = {}) const {
    tree.file("x.tar", bytes);
    auto fd = images::open_regular(tree.path() / "x.tar");
    return images::read_archive("x.tar", fd->get(), "", options);
  }
  std::vector<Id> uids(const base::Checked<Image>& image) const {
    EXPECT_TRUE(image) << (image ? "" : image.error().message);
    std::vector<Id> ids;
    if (image)
      for (const auto& [id, fact] : image->found.uids.facts()) ids.push_back(id);
    return ids;
  }
  std::string refusal(const base::Checked<Image>& image) const {
    return image ? "it was read" : image.error().message;
  }
  static ReadOptions limited(const images::Limits& limits) { return {{}, limits, {}}; }
  Tree tree;
};

const std::vector<Item> kRoot = {
    {"./", "", 0, AE_IFDIR, {}},
    {"./etc/passwd", "root:x:0:0::/:\nhigh:x:70000:70001::/:\n", 0, AE_IFREG, {}},
    {"./data/plain", "abc", 60000, AE_IFREG, {}},
    {"./data/record",
     "",
     1633,
     AE_IFREG,
     {{"user.usernetes.uid", "80000"}, {"user.usernetes.gid", "80001"}}},
    {"./data/override", "", 0, AE_IFREG, {{"user.containers.override_stat", "90000:90001:0644"}}},
    {"./data/link", "x", 4000000000, AE_IFLNK, {}},
    {"./data/.wh.gone", "", 777, AE_IFREG, {}},
};

TEST_F(ArchiveTest, ARootInEachCompression) {
  for (int filter : {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD,
                     ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_BZIP2}) {
    auto image = read(archives::pack(kRoot, filter));
    EXPECT_THAT(uids(image), ElementsAre(0, 60000, 70000, 80000, 90000, 4000000000)) << filter;
    EXPECT_THAT(image->found.gids.facts(), Contains(Key(70001)));
    EXPECT_THAT(image->found.gids.facts(), Contains(Key(80001)));
    EXPECT_EQ(image->found.uids.facts().at(60000).origin, "owner of /data/plain");
    EXPECT_EQ(image->found.uids.facts().at(70000).origin, "/etc/passwd:2 high");
    EXPECT_EQ(image->kind, "archive of a root directory");
  }
}

std::string docker(const std::string& manifest) {
  return archives::pack({
      {"a.tar",
       archives::pack(
           {{"etc/passwd", "old:x:11:11::/:\n", 0, AE_IFREG, {}}, {"f", "", 60000, AE_IFREG, {}}}),
       0,
       AE_IFREG,
       {}},
      {"b/layer.tar",
       archives::pack(
           {{"etc/passwd", "new:x:22:22::/:\n", 0, AE_IFREG, {}}, {"g", "", 60001, AE_IFREG, {}}},
           ARCHIVE_FILTER_GZIP),
       5,
       AE_IFREG,
       {}},
      {"c.json", R"({"config": {"User": "50000:50001"}})", 0, AE_IFREG, {}},
      {"manifest.json", manifest, 0, AE_IFREG, {}},
  });
}

TEST_F(ArchiveTest, DockersOwn) {
  auto image = read(docker(R"([{"Config": "c.json", "Layers": ["a.tar", "b/layer.tar"]}])"));
  EXPECT_THAT(uids(image), ElementsAre(0, 22, 50000, 60000, 60001));  // 11 was replaced above
  EXPECT_EQ(image->kind, "docker archive");
  EXPECT_EQ(image->layers, 2u);
  EXPECT_EQ(image->found.uids.facts().at(50000).weight, images::Weight::process);
  EXPECT_THAT(image->found.gids.facts(), Contains(Key(50001)));
}

TEST_F(ArchiveTest, SeveralImagesInOne) {
  auto image = read(docker(R"([{"Layers": ["b/layer.tar"]}, {"Layers": ["a.tar"]}])"));
  EXPECT_THAT(uids(image), ElementsAre(0, 11, 22, 60000, 60001));
  // The order of the manifest counts, not that of the archive.
  EXPECT_THAT(uids(read(docker(R"([{"Layers": ["b/layer.tar", "a.tar"]}])"))),
              ElementsAre(0, 11, 60000, 60001));
}

TEST_F(ArchiveTest, DockersOwnWithLies) {
  EXPECT_THAT(refusal(read(docker(R"([{"Layers": ["none.tar"]}])"))),
              HasSubstr("x.tar: its manifest names none.tar, which is not in it"));
  EXPECT_THAT(refusal(read(docker(R"([{"Layers": ["../../etc/passwd"]}])"))),
              HasSubstr("x.tar/manifest.json: [0]: Layers[0] \"../../etc/passwd\" is not a path"));
  EXPECT_THAT(refusal(read(docker(R"([{"Layers": 7}])"))), HasSubstr("has no list \"Layers\""));
  EXPECT_THAT(refusal(read(docker("[{"))), HasSubstr("manifest.json: is not JSON"));
  EXPECT_THAT(refusal(read(docker(std::string(100000, '[')))), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(refusal(read(docker(R"([{"Layers": ["c.json"]}])"))),
              HasSubstr("x.tar/c.json: is no tar"));
}

TEST_F(ArchiveTest, WhatIsNoArchive) {
  EXPECT_THAT(refusal(read("hello, this is a letter\n")), HasSubstr("x.tar: is no tar archive"));
  EXPECT_THAT(refusal(read(archives::pack(kRoot).substr(0, 1700))), HasSubstr("x.tar: is damaged"));
  auto damaged = archives::pack(kRoot, ARCHIVE_FILTER_GZIP);
  for (std::size_t i = 100; i < damaged.size(); ++i) damaged[i] = static_cast<char>(i);
  EXPECT_THAT(refusal(read(damaged)), HasSubstr("x.tar: is "));
  for (const std::string& nothing : {std::string(), std::string(100000, '\0')})
    EXPECT_EQ(refusal(read(nothing)), "x.tar: has nothing in it");
}

TEST_F(ArchiveTest, IdsThatAreNone) {
  const std::string negative("\xff\xff\xff\xff\xff\xff\xff\xfb", 8);  // -5, as GNU tar writes it
  auto image = read(archives::header("minus", '0', "00000000000", negative) +
                    archives::pack({{"huge", "", 1ll << 62, AE_IFREG, {}},
                                    {"no", "", 4294967295, AE_IFREG, {}},
                                    {"good", "", 4294967294, AE_IFREG, {}}}));
  EXPECT_THAT(uids(image), ElementsAre(4294967294));
  EXPECT_THAT(image->found.notes,
              ElementsAre(HasSubstr("/minus: the archive gives it to -5:0, which are not ids"),
                          HasSubstr("/huge: the archive gives it to "),
                          HasSubstr("/no: the archive gives it to 4294967295")));
}

TEST_F(ArchiveTest, PaxBombs) {
  // A header of its own of 8 GiB; then very many that say nothing.
  std::string huge = archives::header("pax", 'x', "77777777777") + archives::padded("30 a=b\n");
  EXPECT_THAT(refusal(read(huge)), HasSubstr("x.tar: is "));
  std::string many;
  for (int i = 0; i < 20000; ++i)
    many += archives::header("pax", 'x', "00000000014") + archives::padded("12 abc=defg\n");
  auto image = read(many + archives::pack(kRoot));
  EXPECT_TRUE(image || image.error().message.starts_with("x.tar: is ")) << refusal(image);
  std::string records;
  for (int i = 0; i < 60000; ++i)
    records += "23 SCHILY.xattr.a" + std::to_string(10000 + i % 90000).substr(0, 4) + "=\n";
  char size[13];
  std::snprintf(size, sizeof size, "%011zo", records.size());
  image = read(archives::header("pax", 'x', size) + archives::padded(records) +
               archives::header("f", '0', "00000000000"));
  EXPECT_TRUE(image || image.error().message.starts_with("x.tar: is ")) << refusal(image);
}

TEST_F(ArchiveTest, BombsEndAtALimit) {
  const std::string bomb = archives::pack(
      {{"big", std::string(300 << 20, '\0'), 0, AE_IFREG, {}}, {"behind", "", 60000, AE_IFREG, {}}},
      ARCHIVE_FILTER_GZIP);
  EXPECT_LT(bomb.size(), 1u << 20);
  auto image = read(bomb, limited({.bytes = 50 << 20}));
  EXPECT_THAT(uids(image), ElementsAre(0));
  EXPECT_THAT(image->found.notes, ElementsAre(HasSubstr("more than 52428800 bytes")));
  image = read(bomb, limited({.time = std::chrono::milliseconds(0)}));
  EXPECT_THAT(image->found.notes, ElementsAre(HasSubstr("took longer than 0 ms")));
  std::vector<Item> many;
  for (int i = 0; i < 1000; ++i) many.push_back({"f" + std::to_string(i), "", i, AE_IFREG, {}});
  image = read(archives::pack(many), limited({.files = 100}));
  EXPECT_THAT(image->found.notes, ElementsAre(HasSubstr("more than 100 files")));
}

TEST_F(ArchiveTest, WhatUnpacksToAMillionTimesAsMuchEndsInTime) {
  std::string bomb =
      archives::pack({{"x", std::string(100 << 20, '\0'), 0, AE_IFREG, {}}}, ARCHIVE_FILTER_BZIP2);
  EXPECT_LT(bomb.size(), 20'000u);
  const auto begin = std::chrono::steady_clock::now();
  auto image = read(bomb, limited({.bytes = 20 << 20}));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_THAT(image->found.notes, ElementsAre(HasSubstr("more than 20971520 bytes")));
}

TEST_F(ArchiveTest, CompressedTwiceIsRefused) {
  const std::string once = archives::pack(kRoot, ARCHIVE_FILTER_GZIP);
  // A gzip file of one stored block.
  std::string twice("\x1f\x8b\x08\0\0\0\0\0\0\xff\x01", 11);
  const auto length = static_cast<unsigned>(once.size());
  for (unsigned value : {length, ~length})
    twice += {static_cast<char>(value & 255), static_cast<char>(value >> 8 & 255)};
  twice += once + std::string(8, '\0');
  EXPECT_THAT(refusal(read(twice)), HasSubstr("compressed more than once"));
}

TEST_F(ArchiveTest, RememberedUntilItChanges) {
  const ReadOptions options{(tree.path() / "cache").string(), {}, {}};
  const std::string bytes = archives::pack(kRoot);
  auto first = read(bytes, options);
  EXPECT_EQ(first->from_cache, 0u);
  auto fd = images::open_regular(tree.path() / "x.tar");
  auto again = images::read_archive("x.tar", fd->get(), "", options);
  EXPECT_EQ(again->from_cache, 1u);
  EXPECT_EQ(again->found, first->found);
  auto changed = read(archives::pack({{"f", "", 5, AE_IFREG, {}}}), options);
  EXPECT_EQ(changed->from_cache, 0u);
  EXPECT_THAT(uids(changed), ElementsAre(5));
}

// --- OCI layouts -------------------------------------------------------------------------------

std::string digest(char fill) {
  return std::string(64, fill);
}

struct Layout : Tree {
  Layout() {
    file("oci-layout", R"({"imageLayoutVersion": "1.0.0"})");
    index(R"({"digest": "sha256:)" + digest('a') + R"("})");
    blob('a', R"({"config": {"digest": "sha256:)" + digest('c') +
                  R"("}, "layers": [{"digest": "sha256:)" + digest('b') + R"("}]})");
    blob('b', archives::pack({{"f", "", 60000, AE_IFREG, {}}}, ARCHIVE_FILTER_ZSTD));
    blob('c', R"({"config": {"User": "70000"}})");
  }
  void index(const std::string& manifests) const {
    file("index.json", R"({"schemaVersion": 2, "manifests": [)" + manifests + "]}");
  }
  void blob(char fill, const std::string& content) const {
    file("blobs/sha256/" + digest(fill), content);
  }
  base::Checked<Image> read(const std::string& tag = "", const ReadOptions& options = {}) const {
    return images::read_layout("oci", fd(), tag, options);
  }
  std::string refusal() const {
    auto image = read();
    return image ? "it was read" : image.error().message;
  }
};

TEST(OciLayout, LayersAndUser) {
  Layout layout;
  auto image = layout.read();
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_THAT(image->found.uids.by_importance(), ElementsAre(70000, 60000));
  EXPECT_EQ(image->kind, "OCI layout");
  const ReadOptions options{(layout.path() / "cache").string(), {}, {}};
  EXPECT_EQ(layout.read("", options)->from_cache, 0u);
  EXPECT_EQ(layout.read("", options)->from_cache, 1u);
}

TEST(OciLayout, PlatformsAndNames) {
  Layout layout;
  const std::string one = R"({"digest": "sha256:)" + digest('a') + R"(")";
  layout.index(one + R"(, "platform": {"os": "linux", "architecture": "mips"}}, )" + one +
               R"(, "annotations": {"org.opencontainers.image.ref.name": "new"}})");
  EXPECT_TRUE(layout.read("new"));
  auto none = layout.read("old");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "oci: has no image named \"old\"; there is: new");
}

TEST(OciLayout, LiesAreNamed) {
  Layout layout;
  for (const char* bad : {"sha256:../../../etc/passwd", "../../x", "sha256:", "sha999:aa", ""}) {
    layout.index(std::string(R"({"digest": ")") + bad + R"("})");
    EXPECT_THAT(layout.refusal(), HasSubstr("oci/index.json: manifests[0].digest \"" +
                                            std::string(bad) + "\" is not sha256:"));
  }
  layout.index(R"({"digest": 7})");
  EXPECT_THAT(layout.refusal(), HasSubstr("manifests[0].digest"));
  layout.index(R"({"digest": "sha256:)" + digest('f') + R"("})");
  EXPECT_THAT(layout.refusal(), HasSubstr("No such file"));
  // An index that names itself.
  layout.index(R"({"digest": "sha256:)" + digest('d') + R"("})");
  layout.blob('d', R"({"manifests": [{"digest": "sha256:)" + digest('d') + R"("}]})");
  EXPECT_THAT(layout.refusal(), HasSubstr("more than 64 manifests"));
  layout.file("index.json", std::string(5 << 20, ' '));
  EXPECT_THAT(layout.refusal(), HasSubstr("oci/index.json: is larger than 4096 KiB"));
}

TEST(OciLayout, LinksDoNotLeadOut) {
  Layout layout;
  Tree outside;
  outside.file("secret", archives::pack({{"f", "", 4242, AE_IFREG, {}}}));
  std::filesystem::remove(layout.path() / "blobs/sha256" / digest('b'));
  layout.link("blobs/sha256/" + digest('b'), (outside.path() / "secret").string());
  EXPECT_THAT(layout.refusal(), HasSubstr("No such file"));
  std::filesystem::remove(layout.path() / "blobs/sha256" / digest('b'));
  layout.fifo("blobs/sha256/" + digest('b'));
  EXPECT_THAT(layout.refusal(), HasSubstr("is not a regular file"));
}

}  // namespace
