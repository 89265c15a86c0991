#include "daemon/protocol.hpp"

namespace serving {
namespace {

constexpr int kMostNesting = 32;

// The library's parser does not recurse, but what prints or compares a value does.
bool nests_too_deep(std::string_view text) {
  int depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMostNesting) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

std::optional<Json> parse_object(std::string_view line) {
  if (nests_too_deep(line)) return std::nullopt;
  Json value = Json::parse(line.begin(), line.end(), nullptr, false);
  if (!value.is_object()) return std::nullopt;
  return value;
}

std::string dumped(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

tl::expected<Request, Rejected> parse_request(std::string_view line) {
  auto object = parse_object(line);
  if (!object)
    return tl::unexpected<Rejected>({Fault::garbage, "not a JSON object of sensible depth"});
  auto version = number_of(*object, "v");
  if (version != kProtocol)
    return tl::unexpected<Rejected>(
        {Fault::version,
         "this daemon speaks version " + std::to_string(kProtocol) +
             " of the protocol: restart it, or use the program it was started from"});
  std::string verb = text_of(*object, "verb");
  return Request{std::move(verb), std::move(*object)};
}

std::string request_line(const Json& request) {
  return dumped(request);
}

std::string answer_line(const base::Checked<Json>& answer, std::string_view code) {
  Json line = {{"v", kProtocol}, {"ok", answer.has_value()}};
  if (answer) {
    line["result"] = *answer;
  } else {
    line["error"] = answer.error().message;
    line["code"] = code;
  }
  return dumped(line);
}

base::Checked<Json> parse_answer(std::string_view line) {
  auto object = parse_object(line);
  if (!object) return base::refuse("the daemon's answer is not JSON");
  if (flag_of(*object, "ok")) return object->value("result", Json::object());
  std::string error = text_of(*object, "error");
  return base::refuse(error.empty() ? "the daemon refused without a reason" : error);
}

std::string text_of(const Json& args, const char* key) {
  if (!args.is_object()) return {};
  auto found = args.find(key);
  return found != args.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag_of(const Json& args, const char* key) {
  if (!args.is_object()) return false;
  auto found = args.find(key);
  return found != args.end() && found->is_boolean() && found->get<bool>();
}

std::optional<std::uint64_t> number_of(const Json& args, const char* key) {
  if (!args.is_object()) return std::nullopt;
  auto found = args.find(key);
  if (found == args.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::optional<std::vector<std::string>> texts_of(const Json& args, const char* key) {
  if (!args.is_object()) return std::nullopt;
  auto found = args.find(key);
  if (found == args.end() || !found->is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& one : *found) {
    if (!one.is_string()) return std::nullopt;
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

void LineBuffer::add(std::string_view bytes) {
  text_.erase(0, done_);
  looked_ -= done_;
  done_ = 0;
  text_ += bytes;
}

std::optional<std::string> LineBuffer::take() {
  std::size_t end = text_.find('\n', looked_);
  bool complete = end != std::string::npos;
  if (!complete) end = looked_ = text_.size();
  too_long_ = too_long_ || end - done_ > limit_;
  if (!complete || too_long_) return std::nullopt;
  std::string line = text_.substr(done_, end - done_);
  done_ = looked_ = end + 1;
  return line;
}

}  // namespace serving
