#include "daemon/reload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/setting.hpp"
#include "tests/daemon/rig.hpp"

namespace {

using serving::Json;

// A value of the field which is not the one it has.
std::string other_text(std::string_view key, const std::string& text) {
  config::Config c;
  for (const char* candidate : {"false", "true", "error", "share", "user", "file", "basic", "1001",
                                "/x", "1", "17", "4096"})
    if (candidate != text && config::set_field(c, key, config::Text{candidate})) return candidate;
  return {};
}

TEST(Reload, EachSettingIsAppliedOrKept) {
  config::Config plain;
  config::Config::fields(plain, [&](std::string_view key, const auto&, auto, const auto& allowed) {
    config::Config now, wanted;
    std::string from = config::field_text(now, key), to = other_text(key, from);
    ASSERT_TRUE(config::set_field(wanted, key, config::Text{to})) << key << " " << to;
    serving::Reloaded done = serving::take_over(now, wanted);
    bool stays = allowed.effect == config::Effect::restart;
    EXPECT_EQ(config::field_text(now, key), stays ? from : to) << key;
    ASSERT_EQ(done.kept.size(), stays ? 1u : 0u) << key;
    ASSERT_EQ(done.applied.size(), stays ? 0u : 1u) << key;
    const serving::Change& change = stays ? done.kept.front() : done.applied.front();
    EXPECT_EQ(change.key, key);
    EXPECT_EQ(change.from, from);
    EXPECT_EQ(change.to, to);
    done = serving::take_over(now, wanted);
    EXPECT_TRUE(done.applied.empty()) << key << " was applied already";
  });
}

TEST(Reload, ChangesAllOfARequestOrNothing) {
  config::Config base;
  auto settings = [&](const Json& texts) {
    return serving::settings_of({{"settings", texts}}, base);
  };
  auto good = settings({{"log.level", "debug"}, {"reactor.spin_us", "0"}});
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->log.level, "debug");
  EXPECT_EQ(good->reactor.spin_us, 0u);
  for (const Json& bad : {Json{{"log.level", "loud"}}, Json{{"log.level", 1}},
                          Json{{"bogus.key", "1"}}, Json{{"log.level", Json::object()}},
                          Json{{"identity.window_first", "1999"}}, Json::array(), Json("text")})
    EXPECT_FALSE(settings(bad)) << bad;
  EXPECT_FALSE(serving::settings_of(Json::object(), base));
}

TEST(Reload, OverTheSocket) {
  daemon_test::Daemon daemon;
  auto client = serving::Client::connect(daemon.socket());
  ASSERT_TRUE(client) << client.error().message;
  Json settings = {{"log.level", "error"}, {"identity.rule", "1"}, {"fuse.timeout", "5"}};
  auto done = client->call({{"verb", "reload"}, {"settings", settings}});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT((*done)["kept"].dump(), testing::HasSubstr("identity.rule"));
  EXPECT_EQ((*done)["kept"].size(), 1u);
  EXPECT_EQ((*done)["applied"].size(), 2u) << *done;
  EXPECT_EQ((*done)["applied"][0]["takes_effect"], "at reload");
  auto refused = client->call({{"verb", "reload"}, {"settings", {{"log.levle", "error"}}}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("did you mean \"log.level\"?"));
}

}  // namespace
