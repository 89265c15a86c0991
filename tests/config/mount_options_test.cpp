#include "config/mount_options.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <chrono>

#include "tests/identity/gen.hpp"

namespace config {
namespace {

using Words = std::vector<std::string>;

base::Checked<MountOptions> parse(Words const& words, Config const& c = {}) {
  std::vector<char const*> argv;
  for (std::string const& word : words) argv.push_back(word.c_str());
  return parse_mount_arguments(argv, c);
}
base::Checked<MountOptions> with(std::string const& more) {
  return parse({"-o", "lowerdir=/l," + more, "/m"});
}
std::string message(base::Checked<MountOptions> const& o) {
  return o ? "" : o.error().message;
}

TEST(MountOptions, PodmanWithForceMask) {
  auto const o =
      parse({"-o",
             "lowerdir=l/AAA:l/BBB:l/AAA/../diff1,upperdir=/s/x/diff,workdir=/s/x/work,,"
             "volatile,uidmapping=:0:0:1000,gidmapping=0:0:1:1:1:1999,"
             "context=\"system_u:object_r:container_file_t:s0:c1,c2\",xattr_permissions=2",
             "/s/x/merged"});
  ASSERT_TRUE(o) << o.error().message;
  EXPECT_EQ(o->lowerdirs, (Words{"l/AAA", "l/BBB", "l/AAA/../diff1"}));
  EXPECT_EQ(o->upperdir, "/s/x/diff");
  EXPECT_EQ(o->workdir, "/s/x/work");
  EXPECT_EQ(o->mountpoint, "/s/x/merged");
  EXPECT_TRUE(o->volatile_fsync);
  EXPECT_EQ(o->xattr_permissions, 2);
  EXPECT_EQ(o->uidmapping, (std::vector<IdMapLine>{{0, 0, 1000}}));
  EXPECT_EQ(o->gidmapping, (std::vector<IdMapLine>{{0, 0, 1}, {1, 1, 1999}}));
  EXPECT_EQ(o->ignored, (Words{"context=\"system_u:object_r:container_file_t:s0:c1,c2\""}));
}

TEST(MountOptions, PodmanReadOnlyView) {
  auto const o = parse({"-o", "lowerdir=/s/x/diff:", "/m"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->lowerdirs, Words{"/s/x/diff"});
  EXPECT_TRUE(o->upperdir.empty());
}

TEST(MountOptions, ContainerdThroughMountFuse3) {
  auto const o = parse({"overlay", "/run/target", "-o", "workdir=/w", "-o", "upperdir=/u", "-o",
                        "lowerdir=/a:/b,dev,suid"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->source, "overlay");
  EXPECT_EQ(o->mountpoint, "/run/target");
  EXPECT_EQ(o->lowerdirs, (Words{"/a", "/b"}));
  EXPECT_EQ(o->flags_set, 0ul);
  EXPECT_EQ(o->flags_clear, static_cast<unsigned long>(MS_NODEV | MS_NOSUID));
}

TEST(MountOptions, BuildahVolume) {
  auto const o = parse({"-olowerdir=/l,upperdir=/u,workdir=/w,private", "/m"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->ignored, Words{"private"});
}

TEST(MountOptions, UnknownWordsAreCollected) {
  auto const o = parse({"-x", "--frob", "-o",
                        ",,bogus,metacopy=on,userxattr,index=off,lazytime,"
                        "lowerdir=/l,noacl=1,lowerdir",
                        "-o", "", "/m", "-q"});
  ASSERT_TRUE(o) << o.error().message;
  EXPECT_EQ(o->ignored, (Words{"-x", "--frob", "bogus", "metacopy=on", "userxattr", "index=off",
                               "lazytime", "noacl=1", "lowerdir", "-q"}));
  EXPECT_EQ(o->lowerdirs, Words{"/l"});
  EXPECT_FALSE(o->noacl);
}

TEST(MountOptions, Dashes) {
  auto const o = parse({"-f", "-o", "lowerdir=/l", "--", "-m"});
  ASSERT_TRUE(o);
  EXPECT_TRUE(o->foreground);
  EXPECT_FALSE(o->debug);
  EXPECT_EQ(o->mountpoint, "-m");
  EXPECT_TRUE(parse({"-d", "-o", "lowerdir=/l", "/m"})->debug);
  EXPECT_TRUE(parse({"--debug", "-o", "lowerdir=/l", "/m"})->foreground);
  for (char const* word : {"-h", "--help"}) EXPECT_TRUE(parse({word})->help);
  for (char const* word : {"-V", "--version"}) EXPECT_TRUE(parse({word})->version);
  EXPECT_EQ(parse({"a", "b", "c", "-o", "lowerdir=/l"})->mountpoint, "c");
  EXPECT_EQ(parse({"a", "b", "c", "-o", "lowerdir=/l"})->source, "b");
}

TEST(MountOptions, Escapes) {
  EXPECT_EQ(with("lowerdir=/a\\:b:/c\\,d:/e\\\\f")->lowerdirs, (Words{"/a:b", "/c,d", "/e\\f"}));
  EXPECT_EQ(with("upperdir=/u\\,v,workdir=/w\\040x\\")->upperdir, "/u,v");
  EXPECT_EQ(with("upperdir=/u,workdir=/w\\040x\\")->workdir, "/w x\\");
  EXPECT_EQ(with("lowerdir=:::/a::/b:")->lowerdirs, (Words{"/a", "/b"}));
  EXPECT_EQ(with("context=\"a,noacl")->noacl, true) << "no closing quote: a quote is a character";
  EXPECT_EQ(with("fsname=\"a,noacl,b\"")->noacl, true) << "only labels are quoted";
  EXPECT_EQ(with("context=\"a,noacl\"")->noacl, false);
}

TEST(MountOptions, SwitchesAndNumbers) {
  auto const o = with(
      "squash_to_root,squash_to_uid=5,squash_to_gid=60000,static_nlink,noacl,"
      "noxattrs=1,ino32_t,fast_ino=1,timeout=2.5,writeback=0,xino=on,fsync=0,"
      "threaded=1,max_write=1,plugins=/a:/b");
  ASSERT_TRUE(o) << o.error().message;
  EXPECT_TRUE(o->squash_to_root && o->static_nlink && o->noacl && o->noxattrs && o->ino32);
  EXPECT_TRUE(o->fast_ino && o->volatile_fsync);
  EXPECT_FALSE(o->writeback);
  EXPECT_EQ(o->squash_to_uid, 5u);
  EXPECT_EQ(o->squash_to_gid, 60000u);
  EXPECT_EQ(o->timeout, 2.5);
  EXPECT_EQ(o->xino, Xino::on);
  EXPECT_EQ(o->config.fuse.max_write, 4096u);
  EXPECT_FALSE(with("fsync=1")->volatile_fsync);
  EXPECT_FALSE(with("volatile,fsync=1")->volatile_fsync) << "the last word wins";
}

TEST(MountOptions, TimeoutIsReadLikeStrtod) {
  EXPECT_EQ(with("noacl")->timeout, 1e9);
  EXPECT_EQ(with("timeout=abc")->timeout, 0);
  EXPECT_EQ(with("timeout=")->timeout, 0);
  EXPECT_EQ(with("timeout=5s")->timeout, 5);
  EXPECT_EQ(with("timeout=-1")->timeout, 0);
  EXPECT_EQ(with("timeout=nan")->timeout, 0);
  EXPECT_EQ(with("timeout=1e300")->timeout, 1e9);
}

TEST(MountOptions, RedirectDir) {
  EXPECT_TRUE(with("noacl")->redirect_create);
  EXPECT_TRUE(with("redirect_dir=on")->redirect_create);
  EXPECT_FALSE(with("redirect_dir=off")->redirect_create);
  EXPECT_TRUE(with("redirect_dir=off")->redirect_follow);
  EXPECT_FALSE(with("redirect_dir=follow")->redirect_create);
  EXPECT_FALSE(with("redirect_dir=nofollow")->redirect_follow);
  EXPECT_NE(message(with("redirect_dir=maybe")).find("redirect_dir=maybe"), std::string::npos);
}

TEST(MountOptions, Flags) {
  auto const o = with("ro,nosuid,nodev,noexec,noatime,nodiratime,sync,dirsync");
  EXPECT_EQ(o->flags_set,
            static_cast<unsigned long>(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME |
                                       MS_NODIRATIME | MS_SYNCHRONOUS | MS_DIRSYNC));
  EXPECT_EQ(with("ro,rw")->flags_set, 0ul);
  EXPECT_EQ(with("ro,rw")->flags_clear, static_cast<unsigned long>(MS_RDONLY));
  EXPECT_EQ(with("rw,ro")->flags_clear, 0ul);
}

TEST(MountOptions, FuseOptionsArePassedOn) {
  auto const o = with("allow_other,default_permissions,max_read=65536,fsname=a\\,b,kernel_cache");
  EXPECT_TRUE(o->saw_allow_other);
  EXPECT_FALSE(o->saw_allow_root);
  EXPECT_TRUE(o->saw_default_permissions);
  EXPECT_EQ(o->fuse_options,
            (Words{"allow_other", "default_permissions", "max_read=65536", "fsname=a,b"}));
  EXPECT_EQ(o->ignored, Words{"kernel_cache"});
}

TEST(MountOptions, AnySettingIsAnOption) {
  Config c;
  c.fuse.timeout = 7;
  EXPECT_EQ(parse({"-o", "lowerdir=/l", "/m"}, c)->timeout, 7);
  EXPECT_EQ(with("overlay.opaque=user,fuse.timeout=3")->config.overlay.opaque, "user");
  EXPECT_EQ(with("overlay.opaque=user,fuse.timeout=3")->timeout, 3);
  EXPECT_NE(message(with("overlay.opaque=bogus")).find("allowed: auto, trusted"),
            std::string::npos);
  EXPECT_EQ(with("overlay.bogus=1")->ignored, Words{"overlay.bogus=1"});
}

struct Bad {
  char const* name;
  Words words;
  char const* message;
};
class MountRefuses : public testing::TestWithParam<Bad> {};

TEST_P(MountRefuses, NamingTheOption) {
  auto const o = parse(GetParam().words);
  ASSERT_FALSE(o);
  EXPECT_NE(o.error().message.find(GetParam().message), std::string::npos) << o.error().message;
}

Words lower(char const* more) {
  return {"-o", std::string("lowerdir=/l,") + more, "/m"};
}

INSTANTIATE_TEST_SUITE_P(
    arguments, MountRefuses,
    testing::Values(
        Bad{"nothing", {}, "no mountpoint"}, Bad{"no_lower", {"/m"}, "no lowerdir"},
        Bad{"no_mountpoint", {"-o", "lowerdir=/l"}, "no mountpoint"},
        Bad{"empty_lower", {"-o", "lowerdir=:", "/m"}, "no lowerdir"},
        Bad{"dangling_o", {"/m", "-o"}, "-o: the list"},
        Bad{"upper_without_work", lower("upperdir=/u"), "upperdir=/u needs a workdir"},
        Bad{"plugin", {"-o", "lowerdir=/l://plug/data/p", "/m"}, "//plug/data/p: plugin layers"},
        Bad{"mapping_two", lower("uidmapping=0:0"), "uidmapping=0:0: not triples"},
        Bad{"mapping_word", lower("gidmapping=0:x:1"), "gidmapping=0:x:1: \"x\" is not a number"},
        Bad{"mapping_33_bits", lower("uidmapping=0:4294967296:1"), "not a number below 2^32"},
        Bad{"mapping_no_id", lower("uidmapping=4294967295:0:1"), "is not an id"},
        Bad{"mapping_shown_no_id", lower("uidmapping=0:4294967295:1"), "goes past the last id"},
        Bad{"mapping_past_end", lower("uidmapping=0:4294967294:2"), "goes past the last id"},
        Bad{"mapping_zero", lower("uidmapping=0:0:0"), "maps no id"},
        Bad{"mapping_overlap", lower("uidmapping=0:0:10:20:5:1"), "overlaps"},
        Bad{"mapping_disk_overlap", lower("uidmapping=0:0:10:5:20:1"), "overlaps"},
        Bad{"squash", lower("squash_to_uid=-1"), "squash_to_uid=-1: not an id"},
        Bad{"squash_gid", lower("squash_to_gid=4294967295"), "squash_to_gid=4294967295"},
        Bad{"xattr_3", lower("xattr_permissions=3"), "xattr_permissions=3: allowed: 0, 1, 2"},
        Bad{"xattr_word", lower("xattr_permissions=x"), "not an integer"},
        Bad{"xino", lower("xino=maybe"), "xino=maybe: allowed: off, auto, on"},
        Bad{"writeback", lower("writeback=x"), "writeback=x: not an integer"}),
    [](auto const& row) { return std::string(row.param.name); });

TEST(MountOptions, AFullMapIsAMap) {
  EXPECT_EQ(with("uidmapping=0:0:4294967295")->uidmapping,
            (std::vector<IdMapLine>{{0, 0, 4294967295}}));
  EXPECT_TRUE(with("uidmapping=")->uidmapping.empty());
}

TEST(MountOptions, FiveHundredLayersAndMegabytesAreLinear) {
  std::string list = "lowerdir=";
  for (int i = 0; i < 500; ++i) list += "l/ABCDEFGHIJKLMNOPQRSTUVWXY" + std::to_string(i) + ":";
  auto const o = parse({"-o", list, "/m"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->lowerdirs.size(), 500u);
  EXPECT_EQ(o->lowerdirs[499], "l/ABCDEFGHIJKLMNOPQRSTUVWXY499");

  auto const start = std::chrono::steady_clock::now();
  for (char const* piece : {",", ":", "\\", "a,", "context=\"", "uidmapping=:", "a.b=c,", "\""}) {
    std::string text = "lowerdir=/l,";
    while (text.size() < 1'000'000) text += piece;
    (void)parse({"-o", text, "/m"});
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(MountOptions, RandomWordsNeverCrash) {
  testing_random::for_all(3000, [](testing_random::Gen& gen) {
    static char const* const kPieces[] = {
        "lowerdir=",     "upperdir=", "/a",         ":", ",",        "\\",         "\"", "=",
        "uidmapping=",   "0",         "4294967295", "1", "timeout=", "context=\"", "-o", "ro",
        "fuse.timeout=", "\\777"};
    Words words(gen.below(4) + 1);
    for (std::string& word : words) {
      for (std::uint32_t n = gen.below(10); n > 0; --n) word += kPieces[gen.below(18)];
    }
    auto const o = parse(words);
    if (!o) {
      ASSERT_FALSE(o.error().message.empty());
    }
  });
}

TEST(MountHelp, NamesEveryDocumentedOption) {
  std::string const help = mount_help();
  for (char const* name :
       {"lowerdir",       "upperdir",      "workdir",       "uidmapping",        "gidmapping",
        "squash_to_root", "squash_to_uid", "squash_to_gid", "xattr_permissions", "static_nlink",
        "noacl",          "volatile",      "fsync",         "timeout",           "writeback",
        "fast_ino",       "noxattrs",      "xino",          "ino32_t",           "redirect_dir",
        "allow_other",    "nosuid",        "--help",        "--version"}) {
    EXPECT_NE(help.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace config
