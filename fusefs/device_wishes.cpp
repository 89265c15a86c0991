#include "fusefs/device_wishes.hpp"

#include <sys/random.h>

#include <array>
#include <utility>

namespace fusefs {

std::string DeviceWishes::question() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::array<unsigned char, 16> random{};
  std::string name;
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return name;
  name = "user.usernetes.where.";
  for (unsigned char byte : random) {
    name.push_back(kDigits[byte >> 4]);
    name.push_back(kDigits[byte & 15]);
  }
  all_[name] = {};
  return name;
}

bool DeviceWishes::asked(const Overlay& fs, NodeId directory, std::string_view attribute) {
  if (all_.empty()) return false;
  auto found = all_.find(attribute);
  if (found == all_.end()) return false;
  found->second.fs = &fs;
  found->second.directory = directory;
  return true;
}

bool DeviceWishes::wish(const std::string& question, std::string name, identity::Device device) {
  auto found = all_.find(question);
  if (found == all_.end() || !found->second.fs) return false;
  found->second.wanted = {std::move(name), device};
  return true;
}

bool DeviceWishes::granted(const std::string& question) const {
  auto found = all_.find(question);
  return found != all_.end() && found->second.wanted.granted;
}

DeviceWish* DeviceWishes::find(const Overlay& fs, NodeId directory, std::string_view name) {
  for (auto& [question, place] : all_)
    if (place.fs == &fs && place.directory == directory && place.wanted.name == name &&
        !place.wanted.granted)
      return &place.wanted;
  return nullptr;
}

}  // namespace fusefs
