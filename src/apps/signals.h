// How the process answers signals.
#pragma once

#include "fathom/base/stop.h"

namespace fathom {

/// SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask `stop` to stop, which is answered on stderr at once. A
/// SIGHUP that is ignored, as nohup has it, stays so. A closed pipe and a file-size limit become
/// errors of the write that met them.
/// @param stop outlives the process's last signal
void install_signal_handlers(StopFlag& stop);

}  // namespace fathom
