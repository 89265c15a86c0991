// Owns: nothing of its own; brings the supervisor's wishes for device nodes to the mounts. Called
// by: supervision. Never: exists in the initial user namespace, whose mounts open devices.
#pragma once
#include "fusefs/device_wishes.hpp"
#include "seccomp/device_source.hpp"

namespace serving {

class DeviceDesk final : public seccomp::DeviceSource {
 public:
  explicit DeviceDesk(fusefs::DeviceWishes& wishes) : wishes_(wishes) {}
  std::string question() override { return wishes_.question(); }
  bool wish(const std::string& question, const std::string& name,
            const identity::Device& device) override {
    return wishes_.wish(question, name, device);
  }
  bool granted(const std::string& question) const override { return wishes_.granted(question); }
  void forget(const std::string& question) override { wishes_.forget(question); }

 private:
  fusefs::DeviceWishes& wishes_;
};

}  // namespace serving
