// Owns: the question whether our calls are answered by a supervisor already. Called by: the verbs
// runtime and run, and who starts a daemon. Never: changes the calling process.
#pragma once

namespace seccomp {

/// Whether a filter with a listener is in force here: another listener would be refused (EBUSY),
/// and a daemon that were started here would have to answer itself.
bool is_supervised();

}  // namespace seccomp
