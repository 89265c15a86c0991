#include "tests/model/operation.hpp"

#include <array>
#include <sstream>

namespace model_test {
namespace {

using Kind = Operation::Kind;

constexpr std::array<const char*, static_cast<size_t>(Kind::count)> kind_names = {
    "create", "write",   "append",    "overwrite", "truncate", "unlink",      "mkdir",
    "rmdir",  "rename",  "noreplace", "exchange",  "symlink",  "link",        "mkfifo",
    "mksock", "chmod",   "chown",     "utimens",   "setxattr", "removexattr", "getxattr",
    "read",   "readdir", "stat",      "readlink",  "remount",  "restack"};

struct Weight {
  Kind kind;
  int weight;
};
constexpr Weight weights[] = {
    {Kind::create, 8},   {Kind::write, 6},     {Kind::append, 4},   {Kind::overwrite, 4},
    {Kind::truncate, 4}, {Kind::unlink, 8},    {Kind::mkdir, 8},    {Kind::rmdir, 6},
    {Kind::rename, 14},  {Kind::noreplace, 3}, {Kind::exchange, 5}, {Kind::symlink, 3},
    {Kind::link, 5},     {Kind::mkfifo, 2},    {Kind::mksock, 1},   {Kind::chmod, 5},
    {Kind::chown, 5},    {Kind::utimens, 3},   {Kind::setxattr, 4}, {Kind::removexattr, 2},
    {Kind::getxattr, 2}, {Kind::read, 4},      {Kind::readdir, 5},  {Kind::stat, 4},
    {Kind::readlink, 2}};

std::string random_path(Random& random) {
  static const std::array<const char*, 5> names = {"a", "b", "c", "d", "e"};
  std::string path;
  const int depth = 1 + pick(random, 3);
  for (int i = 0; i < depth; ++i) {
    path += (i == 0 ? "" : "/") + std::string(names[static_cast<size_t>(pick(random, 5))]);
  }
  return path;
}

mode_t random_mode(Random& random) {
  static const std::array<mode_t, 10> modes = {0644,  0755,  0600,  0777, 0,
                                               01777, 02755, 04755, 0400, 02775};
  return modes[static_cast<size_t>(pick(random, 10))];
}

}  // namespace

int pick(Random& random, int below) {
  return static_cast<int>(random() % static_cast<unsigned long>(below));
}

uid_t random_id(Random& random) {
  static const std::array<uid_t, 9> ids = {0,     7,       1000,       1500,      60000,
                                           65534, 1000000, 1185200044, 4294967294};
  return ids[static_cast<size_t>(pick(random, 9))];
}

std::string random_text(Random& random) {
  static const std::array<int, 6> sizes = {0, 1, 7, 100, 4096, 10000};
  const int size = sizes[static_cast<size_t>(pick(random, 6))];
  return std::string(static_cast<size_t>(size), static_cast<char>('a' + pick(random, 26)));
}

Operation random_operation(Random& random) {
  int total = 0;
  for (const auto& weight : weights) total += weight.weight;
  int left = pick(random, total);
  Operation op;
  for (const auto& weight : weights) {
    op.kind = weight.kind;
    if ((left -= weight.weight) < 0) break;
  }
  op.path = random_path(random);
  op.other = op.kind == Kind::symlink ? "nowhere" + std::to_string(pick(random, 100))
                                      : random_path(random);
  op.text = op.kind == Kind::setxattr ? std::to_string(pick(random, 1000)) : random_text(random);
  op.name = pick(random, 2) == 0 ? "user.x" : "user.y";
  op.mode = random_mode(random);
  op.uid = random_id(random);
  op.gid = random_id(random);
  op.at = op.kind == Kind::utimens ? 1000000 + pick(random, 1000) : pick(random, 9000);
  return op;
}

std::string to_string(const Operation& op) {
  std::ostringstream text;
  text << kind_names[static_cast<size_t>(op.kind)];
  if (op.kind == Kind::remount || op.kind == Kind::restack) return text.str();
  text << ' ' << op.path;
  switch (op.kind) {
    case Kind::rename:
    case Kind::noreplace:
    case Kind::exchange:
    case Kind::symlink:
    case Kind::link: text << ' ' << op.other; break;
    case Kind::create:
    case Kind::mkdir:
    case Kind::mkfifo:
    case Kind::mksock:
    case Kind::chmod: text << ' ' << std::oct << op.mode; break;
    case Kind::write: text << " at " << op.at << ' ' << op.text.size() << " bytes"; break;
    case Kind::append:
    case Kind::overwrite: text << ' ' << op.text.size() << " bytes"; break;
    case Kind::truncate:
    case Kind::utimens: text << ' ' << op.at; break;
    case Kind::chown: text << ' ' << op.uid << ':' << op.gid; break;
    case Kind::setxattr: text << ' ' << op.name << '=' << op.text; break;
    case Kind::removexattr:
    case Kind::getxattr: text << ' ' << op.name; break;
    default: break;
  }
  return text.str();
}

}  // namespace model_test
