// One binary serves old and new processors: functions are compiled for several instruction sets,
// and the loader picks the best when the program starts.
#pragma once

#define FATHOM_VECTOR_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
