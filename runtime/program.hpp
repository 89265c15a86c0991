// Owns: nothing; it finds the OCI runtime that does the work, and becomes it. Called by:
// cli/runtime_verb. Never: becomes this program again.
#pragma once
#include <span>
#include <string>

#include "base/result.hpp"

namespace oci {

/// The path of `wanted` (a path, or a name in $PATH); empty: crun, else runc. Files that are this
/// program are passed over, whatever their name.
base::Checked<std::string> find_runtime(const std::string& wanted);

/// crun joins namespaces in an order that works out; runc always joins the user namespace first,
/// after which the kernel lets it into no namespace of another owner.
bool joins_in_any_order(const std::string& program);

/// Whether the runtime takes the flag SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV in a bundle: one that
/// does not know it starts nothing. crun since 1.6; of runc it can not be told, for it has the word
/// in it long before it does anything with it.
bool takes_wait_killable(const std::string& program);

/// Does not return, except with a sentence. `words`: what follows the program's name.
base::Checked<base::Unit> become(const std::string& program, std::span<const char* const> words);

}  // namespace oci
