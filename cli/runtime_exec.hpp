// Owns: the ids and namespaces of a process that joins a container. Called by: cli/runtime_verb.
// Never: lets a process start under an id that the container does not have.
#pragma once
#include <optional>
#include <string>

#include "base/result.hpp"
#include "config/config.hpp"
#include "runtime/invocation.hpp"
#include "runtime/record.hpp"

namespace cli {

/// Edits process.json where the container's map does not have its ids, and a supervisor does.
/// Refused: an id that nobody there has.
base::Checked<base::Unit> prepare_exec(const oci::Invocation& call,
                                       const std::optional<oci::Record>& record,
                                       const config::Config& config);

/// This process enters the namespaces that create has entered.
base::Checked<base::Unit> enter_for_exec(const oci::Invocation& call,
                                         const std::optional<oci::Record>& record,
                                         const std::string& program);

}  // namespace cli
