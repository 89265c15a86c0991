#include "daemon/reload.hpp"

#include "base/log.hpp"
#include "config/setting.hpp"
#include "daemon/server.hpp"
#include "daemon/verbs.hpp"

namespace serving {
namespace {

namespace log = base::log;

Json list(const std::vector<Change>& changes, const char* why) {
  Json all = Json::array();
  for (const Change& change : changes)
    all.push_back({{"key", change.key},
                   {"from", change.from},
                   {"to", change.to},
                   {why, config::effect_text(change.effect)}});
  return all;
}

void tell(const std::vector<Change>& changes, const char* event) {
  for (const Change& change : changes)
    log::line(log::Level::info, event,
              "key=" + change.key + " from=" + log::quoted(change.from) +
                  " to=" + log::quoted(change.to));
}

}  // namespace

Json Reloaded::as_json() const {
  return {{"applied", list(applied, "takes_effect")}, {"kept", list(kept, "takes_effect")}};
}

Reloaded take_over(config::Config& now, const config::Config& wanted) {
  Reloaded done;
  config::Config result = now;
  config::Config::fields(now, [&](std::string_view key, const auto&, auto, const auto& allowed) {
    Change change{std::string(key), config::field_text(now, key), config::field_text(wanted, key),
                  allowed.effect};
    if (change.from == change.to) return;
    bool stays = change.effect == config::Effect::restart ||
                 !config::set_field(result, key, config::Text{change.to});
    (stays ? done.kept : done.applied).push_back(std::move(change));
  });
  now = result;
  return done;
}

base::Checked<config::Config> settings_of(const Json& request, const config::Config& base) {
  config::Config wanted = base;
  auto settings = request.find("settings");
  if (settings == request.end() || !settings->is_object())
    return base::refuse("settings: not an object of texts");
  for (const auto& [key, value] : settings->items()) {
    const auto* text = value.get_ptr<const std::string*>();
    if (!text)
      return base::refuse("settings: the value of \"" + key.substr(0, 80) + "\" is no text");
    TRY_VOID(config::set_field(wanted, key, config::Text{*text}));
  }
  TRY_VOID(config::check_together(wanted));
  return wanted;
}

Reloaded Server::reload(const config::Config& wanted) {
  Reloaded done = take_over(config_, wanted);
  tell(done.applied, "reload.applied");
  tell(done.kept, "reload.kept");
  // Even if the setting did not change: the verb log-level may have.
  if (auto level = log::parse_level(config_.log.level)) log::set_level(*level);
  reactor_->set_spin(config_.reactor.spin_us);
  return done;
}

Answered verb_reload(Call& call) {
  TRY(wanted, settings_of(call.args, call.server.config()));
  return call.server.reload(wanted).as_json();
}

}  // namespace serving
