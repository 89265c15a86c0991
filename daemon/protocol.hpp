// Owns: the form of what goes over the control socket: lines of JSON, version 1. Pure: no socket.
// Called by: daemon/connection and daemon/client, the fuzzer. Never: throws, recurses as deep as a
// peer nests, or keeps more of an unfinished line than the limit. docs/decisions/0007 is the text.
#pragma once
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace serving {

using Json = nlohmann::json;

constexpr int kProtocol = 1;
constexpr std::size_t kRequestLimit = 256 * 1024;
constexpr std::size_t kAnswerLimit = 16 * 1024 * 1024;  // what a client takes

/// Why a connection, or a request, was turned away. Counted by kind.
enum class Fault : std::uint8_t { uid, garbage, version, verb, too_long, fds, half, silent, slow };
constexpr std::array<std::string_view, 9> kFaultNames = {
    "uid", "garbage", "version", "verb", "too_long", "fds", "half", "silent", "slow"};

struct Rejected {
  Fault fault;
  std::string message;
};

struct Request {
  std::string verb;
  Json args;  // the whole object
};

/// One line without its end.
tl::expected<Request, Rejected> parse_request(std::string_view line);
/// With its end. Bytes that are not UTF-8 are replaced: JSON has no way to write them.
std::string request_line(const Json& request);
std::string answer_line(const base::Checked<Json>& answer, std::string_view code);
/// The result, or the sentence of the refusal.
base::Checked<Json> parse_answer(std::string_view line);
/// args[key] as a text; "" when it is missing or something else.
std::string text_of(const Json& args, const char* key);
bool flag_of(const Json& args, const char* key);
/// A number that is not negative.
std::optional<std::uint64_t> number_of(const Json& args, const char* key);
/// args[key] as a list of texts; nothing unless it is one.
std::optional<std::vector<std::string>> texts_of(const Json& args, const char* key);

/// Bytes as they come, lines as they are complete.
class LineBuffer {
 public:
  explicit LineBuffer(std::size_t limit) : limit_(limit) {}
  void add(std::string_view bytes);
  /// The next line without its end; nothing when none is complete, or one is too long.
  std::optional<std::string> take();
  bool too_long() const { return too_long_; }
  bool unfinished() const { return done_ < text_.size(); }

 private:
  std::size_t limit_;
  std::string text_;
  std::size_t done_ = 0;    // bytes taken already
  std::size_t looked_ = 0;  // no line end before here
  bool too_long_ = false;
};

}  // namespace serving
