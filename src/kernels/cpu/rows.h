// The CPU's loops over rows, as one table.
#pragma once

#include "kernels/row_kernels.h"

namespace fathom {

const RowKernels& cpu_row_kernels();

}  // namespace fathom
