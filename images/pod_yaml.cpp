#include "images/pod_yaml.hpp"

#include <yaml.h>

#include <algorithm>
#include <unordered_map>

#include "identity/id_list.hpp"
#include "identity/owner_record.hpp"

namespace images {
namespace {

constexpr std::size_t kMostText = 4 << 20, kMostDepth = 100, kMostEvents = 500'000;
constexpr std::size_t kMostImages = 50, kMostAnchors = 1000;

class Parser {
 public:
  explicit Parser(std::string_view text) : ready_(yaml_parser_initialize(&parser_) == 1) {
    if (ready_)
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size());
  }
  ~Parser() {
    if (ready_) yaml_parser_delete(&parser_);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  bool next(yaml_event_t& event) { return ready_ && yaml_parser_parse(&parser_, &event) == 1; }
  std::string trouble() const {
    return std::to_string(parser_.problem_mark.line + 1) + ": " +
           (ready_ && parser_.problem ? parser_.problem : "can not be read as YAML");
  }

 private:
  yaml_parser_t parser_{};
  bool ready_;
};

// One event, freed at the end of its life.
struct Event {
  yaml_event_t raw{};
  Event() = default;
  ~Event() { yaml_event_delete(&raw); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

std::string text_of(const yaml_char_t* bytes) {
  return bytes ? reinterpret_cast<const char*>(bytes) : "";
}

class Reader {
 public:
  explicit Reader(const std::string& where) : where_(where) {}

  base::Checked<base::Unit> take(const yaml_event_t& event) {
    line_ = event.start_mark.line + 1;
    switch (event.type) {
      case YAML_MAPPING_START_EVENT: return begin(true);
      case YAML_SEQUENCE_START_EVENT: return begin(false);
      case YAML_MAPPING_END_EVENT:
      case YAML_SEQUENCE_END_EVENT: end(); return base::Unit{};
      case YAML_DOCUMENT_START_EVENT: anchors_.clear(); return base::Unit{};
      case YAML_ALIAS_EVENT: return alias(text_of(event.data.alias.anchor));
      case YAML_SCALAR_EVENT: return scalar(event.data.scalar);
      default: return base::Unit{};
    }
  }
  PodIds result() && { return std::move(pod_); }

 private:
  struct Level {
    bool mapping = false;
    bool at_key = true;
    std::string key;  // of a mapping: the last one; of a sequence: the one it is the value of
  };

  base::Checked<base::Unit> begin(bool mapping) {
    if (levels_.size() >= kMostDepth) return refuse("is nested deeper than 100 levels");
    std::string key = levels_.empty() ? "" : levels_.back().key;
    levels_.push_back({mapping, true, mapping ? "" : key});
    return base::Unit{};
  }
  void end() {
    if (!levels_.empty()) levels_.pop_back();
    value_done();
  }
  void value_done() {
    if (!levels_.empty() && levels_.back().mapping) levels_.back().at_key = !levels_.back().at_key;
  }

  base::Checked<base::Unit> alias(const std::string& anchor) {
    auto known = anchors_.find(anchor);
    if (known != anchors_.end()) return value(known->second);
    value_done();  // of a mapping or list: what is in it was read where it stands
    return base::Unit{};
  }

  template <class Scalar>
  base::Checked<base::Unit> scalar(const Scalar& scalar) {
    std::string text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    if (scalar.anchor && anchors_.size() < kMostAnchors && text.size() < 1000)
      anchors_[text_of(scalar.anchor)] = text;
    return value(text);
  }

  base::Checked<base::Unit> value(const std::string& text) {
    if (levels_.empty()) return base::Unit{};
    Level& level = levels_.back();
    if (level.mapping && level.at_key) {
      level.key = text.substr(0, 200);
      level.at_key = false;
      return base::Unit{};
    }
    TRY_VOID(setting(level.key, text, !level.mapping));
    value_done();
    return base::Unit{};
  }

  base::Checked<base::Unit> setting(const std::string& key, const std::string& text, bool listed) {
    if (key == "image" && !listed) take_image(text);
    if (key == kIdsAnnotation) return annotation(text);
    const bool groups = key == "supplementalGroups";
    if (groups != listed) return base::Unit{};
    if (key == "runAsUser") return id(key, text, pod_.found.uids);
    if (groups || key == "runAsGroup" || key == "fsGroup") return id(key, text, pod_.found.gids);
    return base::Unit{};
  }

  base::Checked<base::Unit> id(const std::string& key, const std::string& text, Found& found) {
    if (text.empty() || text == "null" || text == "~") return base::Unit{};  // as if not written
    auto parsed = identity::parse_id(text);
    if (!parsed)
      return refuse(key + ": \"" + text.substr(0, 40) + "\" is not an id from 0 to 4294967294");
    found.add(*parsed, Weight::process, where_ + ":" + std::to_string(line_) + ": " + key);
    return base::Unit{};
  }

  base::Checked<base::Unit> annotation(const std::string& text) {
    auto ids = identity::parse_id_list(text);
    if (!ids) return refuse(std::string(kIdsAnnotation) + ": " + ids.error().message);
    const std::string origin = where_ + ":" + std::to_string(line_) + ": annotation";
    for (Id one : *ids) {
      pod_.found.uids.add(one, Weight::asked, origin);
      pod_.found.gids.add(one, Weight::asked, origin);
    }
    return base::Unit{};
  }

  void take_image(const std::string& name) {
    const bool known = std::find(pod_.images.begin(), pod_.images.end(), name) != pod_.images.end();
    if (!known && pod_.images.size() < kMostImages) pod_.images.push_back(name.substr(0, 300));
  }

  tl::unexpected<base::Failure> refuse(const std::string& what) const {
    return base::refuse(where_ + ":" + std::to_string(line_) + ": " + what);
  }

  const std::string& where_;
  std::size_t line_ = 0;
  std::vector<Level> levels_;
  std::unordered_map<std::string, std::string> anchors_;  // of scalars
  PodIds pod_;
};

}  // namespace

base::Checked<PodIds> parse_pod(std::string_view yaml, const std::string& where) {
  if (yaml.size() > kMostText) return base::refuse(where + ": is larger than 4 MiB");
  Parser parser(yaml);
  Reader reader(where);
  for (std::size_t i = 0; i < kMostEvents; ++i) {
    Event event;
    if (!parser.next(event.raw)) return base::refuse(where + ":" + parser.trouble());
    if (event.raw.type == YAML_STREAM_END_EVENT) return std::move(reader).result();
    TRY_VOID(reader.take(event.raw));
  }
  return base::refuse(where + ": has more than 500000 parts");
}

}  // namespace images
